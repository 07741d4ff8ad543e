"""Refusals in OpenAI's shape: {"error": {"message", "type", "param", "code"}}.

Trust: gateway [net]. Messages are public: never a path, a secret, prompt text or engine output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from corral.core.errors import CorralError
from corral.core.ids import parse_model_name
from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.unavailable import Unavailable
from corral.engine.wire import Failed
from corral.engine.worker_link import Broken
from corral.guard.input_chain import Seen, refused_by_worker
from corral.guard.output_chain import Stopped
from corral.tenancy.limits import Refusal

_BAD_REQUEST: Final = "invalid_request_error"
_SERVER: Final = "server_error"


@dataclass(frozen=True, slots=True)
class ApiError:
    """One refusal.

    Attributes:
        status: HTTP status code.
        code: stable slug.
        message: for the caller.
        kind: OpenAI's `type`.
        param: the request's field that is wrong.
        retry_after_s: sent as `Retry-After`, rounded up.
        retry: whether asking again can help where the status alone would suggest it; False is
            sent as `x-should-retry: false`, which OpenAI's clients obey.
        extra: more headers.
    """

    status: int
    code: str
    message: str
    kind: str = _BAD_REQUEST
    param: str | None = None
    retry_after_s: float | None = None
    retry: bool = True
    extra: tuple[tuple[bytes, bytes], ...] = ()

    def body(self) -> bytes:
        """Return the JSON body."""
        return msgspec.json.encode(
            {
                "error": {
                    "message": self.message,
                    "type": self.kind,
                    "param": self.param,
                    "code": self.code,
                }
            }
        )

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that belong to this refusal."""
        found = list(self.extra)
        if self.retry_after_s is not None:
            found.append((b"retry-after", b"%d" % max(1, -int(-self.retry_after_s // 1))))
        if not self.retry:
            found.append((b"x-should-retry", b"false"))
        if self.status == 401:
            found.append((b"www-authenticate", b'Bearer realm="corral"'))
        return found


def bad_request(code: str, message: str, param: str | None = None) -> ApiError:
    """Return a 400: the request is wrong and will be wrong again."""
    return ApiError(400, code, message, param=param)


UNAUTHENTICATED: Final = ApiError(
    401, "invalid_api_key", "no valid API key was given", "authentication_error"
)
NOT_FOUND: Final = ApiError(404, "not_found", "there is nothing at this address")
METHOD_NOT_ALLOWED: Final = ApiError(
    405, "method_not_allowed", "this address does not take this method"
)
TOO_MANY_CONNECTIONS: Final = ApiError(
    429, "too_many_connections", "too many connections of yours are open and busy",
    "rate_limit_error", retry_after_s=1,
)  # fmt: skip
TOO_MANY_UPLOADS: Final = ApiError(
    503, "too_many_uploads", "the server is reading as many requests as it may", _SERVER,
    retry_after_s=1,
)  # fmt: skip
TOO_MUCH_KEPT: Final = ApiError(
    503, "too_much_waiting", "the requests that wait or run, or yours of them, are too large "
    "together", _SERVER, retry_after_s=2,
)  # fmt: skip
REVOKED: Final = ApiError(
    401, "invalid_api_key", "the API key is not valid any more", "authentication_error"
)
"""The end of a request whose key was revoked, expired, or whose tenant was frozen, meanwhile."""
TOO_LARGE: Final = ApiError(413, "request_too_large", "the request body is over its limit")
INTERNAL: Final = ApiError(
    500, "internal_error", "something went wrong here; the log knows more", _SERVER
)
TIMED_OUT: Final = ApiError(
    504, "request_timeout", "the answer took longer than a request may take", _SERVER, retry=False
)
READER_TOO_SLOW: Final = ApiError(
    502, "reader_too_slow", "the client did not read its stream", _SERVER
)
LEDGER_UNHEALTHY: Final = ApiError(
    503, "usage_unavailable", "usage cannot be recorded now", _SERVER, retry_after_s=5
)
AUDIT_UNAVAILABLE: Final = ApiError(
    503, "audit_unavailable", "the audit log cannot be written now", _SERVER, retry_after_s=5
)


SANITATION_UNAVAILABLE: Final = ApiError(
    503, "sanitation_unavailable", "the sanitation policies cannot be read now", _SERVER,
    retry_after_s=5,
)  # fmt: skip
MEDIA_UNAVAILABLE: Final = ApiError(
    503, "media_unavailable", "images and audio cannot be decoded now", _SERVER, retry_after_s=5
)
DETECTOR_UNAVAILABLE: Final = ApiError(
    503, "detector_unavailable", "the detector that the policy asks for does not answer now",
    _SERVER, retry_after_s=5,
)  # fmt: skip
GUARD_MODEL_UNAVAILABLE: Final = ApiError(
    503, "guard_model_unavailable",
    "the guard model that the policy asks for gives no verdict now", _SERVER, retry_after_s=5,
)  # fmt: skip
CATALOG_UNAVAILABLE: Final = ApiError(
    503, "catalog_unavailable", "the list of models cannot be read now", _SERVER, retry_after_s=5
)


PERMISSION_DENIED: Final = ApiError(
    403, "permission_denied", "this credential may not do that", "permission_error"
)
CROSS_SITE: Final = ApiError(
    403, "cross_site", "a page of another site may not use this browser's certificate",
    "permission_error",
)  # fmt: skip
HOST_REPORT_UNAVAILABLE: Final = ApiError(
    503, "host_report_unavailable", "the server was started without a report on its host", _SERVER,
    retry_after_s=300, retry=False,
)  # fmt: skip
TIER_NOT_GIVEN: Final = ApiError(
    503, "tier_not_given", "the server was started without the sandbox that this model's policy "
    "demands; its operator has to start it again", _SERVER, retry_after_s=300, retry=False,
)  # fmt: skip
OVER_CEILING: Final = ApiError(
    503, "over_ceiling", "a worker of this model needs more memory than it may have", _SERVER,
    retry_after_s=300, retry=False,
)  # fmt: skip
"""How much that is, and of what, is the operator's to know."""
_LASTING: Final = frozenset({"model_quarantined", "model_load_failed", "seal_failed"})
"""Without the operator these stay: a client that tries again by itself only waits longer."""


def media_not_supported(modality: str, param: str) -> ApiError:
    """Return the refusal of an image or a sound for a model that takes none."""
    return bad_request("media_not_supported", f"this model takes no {modality}", param)


def model_not_found(model: str) -> ApiError:
    """Return the one answer for unknown and for forbidden models."""
    try:
        named = f"the model '{parse_model_name(model)}'"
    except CorralError:
        named = "the model"  # what no model can be called is no name, and is not said again
    return ApiError(
        404, "model_not_found", f"{named} does not exist or you may not use it", param="model"
    )


def answer_too_long(asked_as: str, asked: int, most: int) -> ApiError:
    """Return the 400 of a caller who asks for a longer answer than there is.

    Args:
        asked_as: the field that it was asked with.
        asked: tokens.
        most: that the server gives, or the policy of this model.
    """
    return bad_request(
        "max_tokens_too_large",
        f"{asked_as} is {asked}; this server gives at most {most}",
        asked_as,
    )


def bad_priority(header: str) -> ApiError:
    """Return the 400 of a priority that there is not."""
    return bad_request("invalid_parameter", f"{header} is interactive or batch", header)


def over_limit(refusal: Refusal) -> ApiError:
    """Return the 429 of a tenant's limit."""
    return ApiError(
        429, refusal.code, refusal.message, "rate_limit_error",
        retry_after_s=refusal.retry_after_s, retry=refusal.retry, extra=refusal.headers,
    )  # fmt: skip


def rejected(seen: Seen) -> ApiError:
    """Return the 400 of a text that the sanitation policy refuses."""
    return bad_request(seen.code, seen.message, seen.param)


def withheld(stopped: Stopped) -> ApiError:
    """Return the 400 of an answer that the sanitation policy refuses to send."""
    return bad_request(stopped.code, stopped.message)


def too_long(param: str) -> ApiError:
    """Return the 413 of a text that no engine worker takes in one line."""
    return ApiError(
        413, TOO_LARGE.code, f"'{param}' is longer than the {WIRE_LINE_BYTES} bytes that an engine "
        "takes in one request", param=param,
    )  # fmt: skip


def unavailable(reason: Unavailable) -> ApiError:
    """Return the 503 of a worker that cannot be had now."""
    return ApiError(
        503, reason.code, reason.message, _SERVER,
        retry_after_s=reason.retry_after_s, retry=reason.code not in _LASTING,
    )  # fmt: skip


def failed(outcome: Failed | Broken, param: str) -> ApiError:
    """Return what an unfinished answer means for the caller.

    Args:
        outcome: how it ended.
        param: the request's field that holds what the model reads.
    """
    if outcome.code == "context_length_exceeded":
        return bad_request(outcome.code, "the prompt is longer than the model's context", param)
    if outcome.code == TOO_LARGE.code:
        return too_long(param)
    if outcome.code == "special_token":
        return rejected(refused_by_worker(param))
    if outcome.code == "bad_request":
        return bad_request("engine_refused", "the engine refuses this request")
    if outcome.code == "engine_error":
        return ApiError(502, "engine_error", "the engine could not answer", _SERVER)
    if outcome.code == READER_TOO_SLOW.code:
        return READER_TOO_SLOW
    if outcome.code == "worker_timeout":
        return ApiError(504, "worker_timeout", "the engine worker fell silent", _SERVER)
    return ApiError(
        502, outcome.code, "the engine worker ended before the answer did", _SERVER,
        retry_after_s=1,
    )  # fmt: skip
