"""The trial load of a quarantined model: load it in a jail, see whether it does what it must, stop.

Trust: command line (operator's side). Input: a hostile model in a hostile worker; only numbers and
an outcome of a fixed vocabulary come out. An engine that was taken over can pass all of this: it
keeps out models that are broken, that need more than they say, or whose vocabulary lies.

    1 load, under the limit of the estimate
    2 a canary conversation, rendered by the receipt's template, at temperature 0
    3 control tokens are one token each to the engine, and several where a tenant writes them
    4 the canary again: the same answer; with a projector, an image, which is more to read
    5 memory, as the kernel counts it, against the estimate
"""

from __future__ import annotations

import time
from base64 import b64decode
from dataclasses import dataclass
from itertools import count
from typing import Final

from corral.admission.demand import Demand
from corral.admission.trial import TrialRecord, TrialResult
from corral.admission.trusted_model import Estimated
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.limits import MIB
from corral.engine.local import LocalWorker
from corral.engine.measured import measure_memory
from corral.engine.sample_image import SAMPLE_PNG
from corral.engine.sizing import trial_demand, trial_start
from corral.engine.wire import Chunk, End, Failed, Generate, Message, Sampling

_CANARY: Final = "Count from one to five in words."
_ANSWER_TOKENS: Final = 12
_SILENCE_S: Final = 60.0
_CONTROL_TOKENS: Final = 8
_CONTROL_CHARS: Final = 40
"""So that all of them, spelt out twice, fit into the trial's context."""
_OVER_PERCENT: Final = 25
_OVER_BYTES: Final = 32 * MIB
"""How much more than the estimate may be used: what it leaves out is small or a lie."""


class EngineTrial:
    """The `TrialLoader` of admission, by a real engine worker."""

    def __init__(
        self, launcher: LauncherClient, config: Config, *, silence_s: float = _SILENCE_S
    ) -> None:
        self._launcher = launcher
        self._config = config
        self._silence_s = silence_s

    def load(self, model: Estimated) -> TrialResult:
        """Load HOME/quarantine/blobs/DIGEST in a jail and try it.

        Returns:
            ok with what was seen, or the code of what failed: `model_load_failed`,
            `model_load_timeout`, `worker_failed`, `worker_timeout`, `worker_out_of_memory`,
            `trial_no_answer`, `trial_control_token`, `trial_plain_text`,
            `trial_not_deterministic`, `trial_no_image`, `trial_over_estimate`, `over_ceiling`, or
            the launcher's own refusal.
        """
        try:
            demand = trial_demand(model.scanned.facts, self._config.engine)
            began = time.monotonic()
            with LocalWorker(
                self._launcher,
                trial_start(model.digest, demand, model.scanned.verified.derivation),
                model.scanned.template.text,
                self._config.engine.load_timeout_s,
                silence_s=self._silence_s,
                special=_control_tokens(model),
            ) as worker:
                load_ms = int((time.monotonic() - began) * 1000)
                record = _Course(worker, model, demand, load_ms).run()
                return TrialResult(ok=True, code="", engine=worker.ready.engine, record=record)
        except CorralError as error:
            return TrialResult(ok=False, code=error.code)


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    prompt_tokens: int
    tokens: int
    first_s: float
    rest_s: float


class _Course:
    """One worker on its trial."""

    def __init__(self, worker: LocalWorker, model: Estimated, demand: Demand, load_ms: int) -> None:
        self._worker = worker
        self._model = model
        self._demand = demand
        self._load_ms = load_ms
        self._ids = count(1)
        derivation = model.scanned.verified.derivation
        self._sees = derivation is not None and derivation.projector is not None

    def run(self) -> TrialRecord:
        """Walk the steps.

        Raises:
            CorralError: the code says which one failed.
        """
        first = self._canary()
        tokens = self._check_control_tokens()
        second = self._canary()
        # A step from the cache may round otherwise than the first one; the same step may not.
        if first.text != second.text and self._canary().text != second.text:
            raise _failed("trial_not_deterministic", "the same question has two answers")
        if self._sees:
            self._check_image(first)
        private, peak = self._memory()
        estimate = self._demand.estimate
        return TrialRecord(
            context_tokens=estimate.context_tokens,
            estimated_bytes=estimate.private_bytes,
            private_bytes=private,
            peak_bytes=peak,
            load_ms=self._load_ms,
            prompt_tokens=first.prompt_tokens,
            answer_tokens=first.tokens,
            prompt_tokens_per_s=_rate(first.prompt_tokens, first.first_s),
            answer_tokens_per_s=_rate(first.tokens - 1, first.rest_s),
            control_tokens=tokens,
        )

    def _canary(self) -> _Answer:
        sampling = Sampling(max_tokens=_ANSWER_TOKENS, temperature=0.0, seed=1, logprobs=1)
        if self._model.scanned.template.outcome == "absent":
            return self._ask(sampling, prompt=_CANARY)
        return self._ask(sampling, messages=(Message("user", _CANARY),))

    def _check_control_tokens(self) -> int:
        chosen = _control_tokens(self._model)
        if self._worker.ready.special != len(chosen):
            raise _failed("trial_control_token", "a control token is not one token to the engine")
        # On the way that the text of tenants takes.
        longer = [text for text in chosen if len(text) > 1]
        if self._sees:
            kept_out = not longer or self._is_refused("".join(longer))
        else:
            kept_out = self._added("".join(longer)) >= 2 * len(longer)
        if not kept_out:
            raise _failed("trial_plain_text", "plain text becomes control tokens")
        return len(chosen)

    def _check_image(self, without: _Answer) -> None:
        """Ask with an image, which must be more tokens than the question alone."""
        if self._model.scanned.template.outcome == "absent":
            raise _failed("trial_no_image", "a model without a chat template is shown no images")
        sampling = Sampling(max_tokens=1, temperature=0.0)
        messages = (Message("user", _CANARY, (0,)),)
        answer = self._ask(sampling, messages=messages, media=(b64decode(SAMPLE_PNG),))
        if answer.prompt_tokens <= without.prompt_tokens:
            raise _failed("trial_no_image", "the model reads nothing of an image")

    def _is_refused(self, text: str) -> bool:
        """Return whether the worker refuses a text that its engine would parse."""
        try:
            self._ask(Sampling(max_tokens=1, temperature=0.0), prompt=text)
        except CorralError as error:
            return error.code == "trial_plain_text"
        return False

    def _added(self, text: str) -> int:
        """Return how many tokens a text adds behind itself, whatever begins a prompt."""
        if not text:
            return 0
        one = Sampling(max_tokens=1, temperature=0.0)
        twice = self._ask(one, prompt=text + text).prompt_tokens
        return twice - self._ask(one, prompt=text).prompt_tokens

    def _ask(
        self,
        sampling: Sampling,
        *,
        messages: tuple[Message, ...] | None = None,
        prompt: str | None = None,
        media: tuple[bytes, ...] = (),
    ) -> _Answer:
        began = time.monotonic()
        first_s, text = 0.0, ""
        request = Generate(next(self._ids), sampling, messages, prompt)
        for message in self._worker.generate(request, media):
            first_s = first_s or time.monotonic() - began
            if isinstance(message, Chunk):
                text += message.text
            elif isinstance(message, Failed) and message.code == "special_token":
                raise _failed("trial_plain_text", "plain text becomes control tokens")
            elif isinstance(message, End) and message.usage.completion_tokens:
                usage, rest_s = message.usage, time.monotonic() - began - first_s
                return _Answer(text, usage.prompt_tokens, usage.completion_tokens, first_s, rest_s)
        raise _failed("trial_no_answer", "the model gave no token")

    def _memory(self) -> tuple[int, int]:
        if self._worker.tier not in {"namespaces", ""}:
            return 0, 0
        found = measure_memory(self._worker.pid)
        if found is None:
            return 0, 0
        estimated = self._demand.estimate.private_bytes
        if found.private_bytes > estimated + estimated * _OVER_PERCENT // 100 + _OVER_BYTES:
            raise _failed("trial_over_estimate", "the model takes more memory than it says")
        return found.private_bytes, found.peak_bytes


def _control_tokens(model: Estimated) -> list[str]:
    """Return the control tokens that are looked at, those of the template first."""
    facts, template = model.scanned.facts, model.scanned.template.text
    # A marker that is an ordinary word is spelt in pieces, rightly, unless chats need it.
    words = {text for text in facts.word_markers if text not in template}
    short = [
        text for text in facts.control_tokens if len(text) <= _CONTROL_CHARS and text not in words
    ]
    return sorted(short, key=lambda text: text not in template)[:_CONTROL_TOKENS]


def _rate(tokens: int, seconds: float) -> float:
    return round(max(0, tokens) / seconds, 1) if seconds > 0 else 0.0


def _failed(code: str, message: str) -> CorralError:
    return CorralError(code, message)
