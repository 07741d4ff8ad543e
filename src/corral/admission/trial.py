"""What a trial load shows: does the engine load this model, and does it do what a model must?

Trust: operator side; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final

import msgspec
from msgspec import Meta

_ENGINE: Final = "xllamacpp"


_Number = Annotated[int, Meta(ge=0)]


class TrialRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was seen of a model that passed; times are of one quiet or busy moment, and no promise.

    Attributes:
        context_tokens: of the trial.
        estimated_bytes: private memory by the estimate for that context.
        private_bytes: anonymous memory that the kernel counted; 0 where it says nothing of the
            worker alone (gVisor).
        peak_bytes: most of private and mapped memory so far; likewise.
        load_ms: from the start of the jail until the model was ready.
        prompt_tokens: of the canary conversation.
        answer_tokens: of its answer.
        prompt_tokens_per_s: until the first token of the answer came.
        answer_tokens_per_s: after it.
        control_tokens: how many were found to be one token each.
    """

    context_tokens: _Number
    estimated_bytes: _Number
    private_bytes: _Number
    peak_bytes: _Number
    load_ms: _Number
    prompt_tokens: _Number
    answer_tokens: _Number
    prompt_tokens_per_s: Annotated[float, Meta(ge=0)]
    answer_tokens_per_s: Annotated[float, Meta(ge=0)]
    control_tokens: _Number


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What the trial showed.

    Attributes:
        ok: loaded, and did what a model must.
        code: stable slug of the failure; empty when ok.
        engine: engine name and version that was tried; empty if unknown.
        record: what was seen; None if it failed.
    """

    ok: bool
    code: str
    engine: str = ""
    record: TrialRecord | None = None


def installed_engine() -> str:
    """Return what `TrialResult.engine` of a trial load would be now; never empty.

    A receipt with another engine was made before an upgrade, so that its trial proves nothing.
    """
    try:
        return f"{_ENGINE} {version(_ENGINE)}"
    except PackageNotFoundError:
        return "none"
