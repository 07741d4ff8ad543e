"""Everything that the sanitation can find: the closed list of kinds, and what each policy does.

Trust: gateway [net] and command line; data. The name of a kind is stable: it is the end of error
codes (`input_rejected.NAME`, `output_stopped.NAME`), a label of metrics, a word of headers, and a
key of `sanitation.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from corral.guard.finding import Handling

Direction = Literal["input", "output"]

_A: Final = Handling.ALLOW
_R: Final = Handling.REPORT
_C: Final = Handling.CLEAN
_X: Final = Handling.REFUSE


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding.

    Attributes:
        stage: which stage finds it.
        direction: in what tenants send, or in what models say.
        strict, balanced: what these policies do with it; `off` allows all but what is a wall.
        can_clean: its stage knows how to take it out.
        wall: no policy lets it pass: it is refused or cleaned, whatever a policy says.
        message: why a request is refused for it; a whole sentence without any of the text.
    """

    stage: str
    direction: Direction
    strict: Handling
    balanced: Handling
    message: str
    can_clean: bool = False
    wall: bool = False

    @property
    def choices(self) -> tuple[Handling, ...]:
        """Return what a policy may do with it."""
        return tuple(
            one for one in Handling
            if (one is not _C or self.can_clean) and not (self.wall and one in {_A, _R})
        )  # fmt: skip


KINDS: Final[Mapping[str, Kind]] = MappingProxyType({
    # what no text is
    "invalid_text": Kind(
        "text", "input", strict=_X, balanced=_X, wall=True,
        message="a text has a character that is not allowed in texts",
    ),
    # what nobody sees
    "tag_smuggling": Kind(
        "unicode", "input", strict=_X, balanced=_C, can_clean=True,
        message="a text holds tag characters, which nobody sees",
    ),
    "variation_smuggling": Kind(
        "unicode", "input", strict=_X, balanced=_C, can_clean=True,
        message="a text holds variation selectors where they select nothing",
    ),
    "bidi_control": Kind(
        "unicode", "input", strict=_X, balanced=_C, can_clean=True,
        message="a text holds characters that change the order in which it is shown",
    ),
    "invisible_text": Kind(
        "unicode", "input", strict=_C, balanced=_C, can_clean=True,
        message="a text holds characters without a width where no script needs them",
    ),
    # how characters are put together
    "combining_flood": Kind(
        "unicode", "input", strict=_X, balanced=_C, can_clean=True,
        message="a text holds more accents on one letter than any language has",
    ),
    "denormal_text": Kind(
        "unicode", "input", strict=_C, balanced=_C, can_clean=True,
        message="a text is not in Unicode's normal form C",
    ),
    "foreign_script": Kind(
        "unicode", "input", strict=_X, balanced=_R,
        message="a text holds letters of a script that is not allowed here",
    ),
    # markup of strangers
    "html_content": Kind(
        "html", "input", strict=_A, balanced=_A, can_clean=True,
        message="a text of a tool or a document holds markup that is not allowed here",
    ),
    # secrets and personal data
    "secret": Kind(
        "private_data", "input", strict=_C, balanced=_R, can_clean=True,
        message="a text holds a key or a token of a known format, or a private key",
    ),
    "credential": Kind(
        "private_data", "input", strict=_C, balanced=_A, can_clean=True,
        message="a text holds what looks like a password or a key",
    ),
    "payment_card": Kind(
        "private_data", "input", strict=_C, balanced=_R, can_clean=True,
        message="a text holds the number of a payment card",
    ),
    "bank_account": Kind(
        "private_data", "input", strict=_C, balanced=_R, can_clean=True,
        message="a text holds the number of a bank account",
    ),
    "national_id": Kind(
        "private_data", "input", strict=_C, balanced=_A, can_clean=True,
        message="a text holds somebody's national identification number",
    ),
    "email_address": Kind(
        "private_data", "input", strict=_R, balanced=_A, can_clean=True,
        message="a text holds an e-mail address",
    ),
    "phone_number": Kind(
        "private_data", "input", strict=_R, balanced=_A, can_clean=True,
        message="a text holds a phone number",
    ),
    "ip_address": Kind(
        "private_data", "input", strict=_A, balanced=_A, can_clean=True,
        message="a text holds an address of the public Internet",
    ),
    "private_term": Kind(
        "private_data", "input", strict=_C, balanced=_C, can_clean=True,
        message="a text holds a word that the operator keeps private",
    ),
    # the model's own control tokens
    "special_token": Kind(
        "special_tokens", "input", strict=_X, balanced=_C, can_clean=True, wall=True,
        message="a text holds the text of one of the model's control tokens",
    ),
    # tools that a policy keeps from models
    "tool_denied": Kind(
        "tools", "input", strict=_C, balanced=_C, can_clean=True,
        message="a tool is declared that the policy lets no model call",
    ),
    # what attacks say
    "injection_rule": Kind(
        "rules", "input", strict=_X, balanced=_R,
        message="a text tries to change a model's instructions",
    ),
    "untrusted_injection_rule": Kind(
        "rules", "input", strict=_X, balanced=_X,
        message="a text of a tool or a document tries to change a model's instructions",
    ),
    # what looks like an attack to a classifier
    "injection_suspected": Kind(
        "detector", "input", strict=_R, balanced=_R,
        message="a text may be an attack on a model's instructions",
    ),
    "injection_detected": Kind(
        "detector", "input", strict=_X, balanced=_R,
        message="a text looks like an attack on a model's instructions",
    ),
    "untrusted_injection_detected": Kind(
        "detector", "input", strict=_X, balanced=_X,
        message="a text of a tool or a document looks like an attack on a model's instructions",
    ),
    # what a guard model calls unsafe
    "guard_model_unsafe": Kind(
        "guard_model", "input", strict=_X, balanced=_X,
        message="the guard model of this server calls a text unsafe",
    ),
    # images and audio: what is decoded is made anew, so only the picture or the sound goes on
    "media_type": Kind(
        "media", "input", strict=_X, balanced=_X, wall=True,
        message="a file is of no format that is taken here, or of another than it is said to be",
    ),
    "media_malformed": Kind(
        "media", "input", strict=_X, balanced=_X, wall=True,
        message="a file cannot be decoded as a whole",
    ),
    "media_too_large": Kind(
        "media", "input", strict=_X, balanced=_X, wall=True,
        message="a file has more pixels, seconds or bytes than are allowed here",
    ),
    "media_crash": Kind(
        "media", "input", strict=_X, balanced=_X, wall=True,
        message="a file could not be decoded within its time and memory",
    ),
    "media_animated": Kind(
        "media", "input", strict=_X, balanced=_C, can_clean=True, wall=True,
        message="an image has more than one frame",
    ),
    "media_polyglot": Kind(
        "media", "input", strict=_X, balanced=_C, can_clean=True, wall=True,
        message="a file holds another one, or goes on behind its end",
    ),
    "media_metadata": Kind(
        "media", "input", strict=_C, balanced=_C, can_clean=True, wall=True,
        message="a file says more than its picture or sound",
    ),
    # secrets and personal data in answers
    "output_secret": Kind(
        "output_private_data", "output", strict=_C, balanced=_C, can_clean=True,
        message="an answer holds a key or a token of a known format, or a private key",
    ),
    "output_credential": Kind(
        "output_private_data", "output", strict=_C, balanced=_R, can_clean=True,
        message="an answer holds what looks like a password or a key",
    ),
    "output_payment_card": Kind(
        "output_private_data", "output", strict=_C, balanced=_C, can_clean=True,
        message="an answer holds the number of a payment card",
    ),
    "output_bank_account": Kind(
        "output_private_data", "output", strict=_C, balanced=_R, can_clean=True,
        message="an answer holds the number of a bank account",
    ),
    "output_national_id": Kind(
        "output_private_data", "output", strict=_C, balanced=_R, can_clean=True,
        message="an answer holds somebody's national identification number",
    ),
    "output_email_address": Kind(
        "output_private_data", "output", strict=_R, balanced=_A, can_clean=True,
        message="an answer holds an e-mail address",
    ),
    "output_phone_number": Kind(
        "output_private_data", "output", strict=_R, balanced=_A, can_clean=True,
        message="an answer holds a phone number",
    ),
    "output_ip_address": Kind(
        "output_private_data", "output", strict=_A, balanced=_A, can_clean=True,
        message="an answer holds an address of the public Internet",
    ),
    "output_private_term": Kind(
        "output_private_data", "output", strict=_C, balanced=_C, can_clean=True,
        message="an answer holds a word that the operator keeps private",
    ),
    # what an application keeps to itself
    "canary_leak": Kind(
        "output_canary", "output", strict=_X, balanced=_X,
        message="an answer holds the canary of its system prompt",
    ),
    "prompt_leak": Kind(
        "output_prompt", "output", strict=_R, balanced=_A,
        message="an answer repeats its system prompt",
    ),
    # what is done where an answer is shown
    "remote_image": Kind(
        "output_links", "output", strict=_C, balanced=_C, can_clean=True,
        message="an answer shows an image of a host that is not allowed",
    ),
    "remote_link": Kind(
        "output_links", "output", strict=_C, balanced=_A, can_clean=True,
        message="an answer links to a host that is not allowed",
    ),
    "active_link": Kind(
        "output_links", "output", strict=_C, balanced=_C, can_clean=True,
        message="an answer links to a script",
    ),
    "active_markup": Kind(
        "output_markup", "output", strict=_C, balanced=_C, can_clean=True,
        message="an answer holds markup that fetches, runs or takes input",
    ),
    "control_character": Kind(
        "output_characters", "output", strict=_C, balanced=_C, can_clean=True,
        message="an answer holds characters that drive a terminal",
    ),
    # calls of tools; cleaned means that the call is left out of the answer
    "tool_malformed": Kind(
        "output_tools", "output", strict=_C, balanced=_C, can_clean=True, wall=True,
        message="an answer holds a call of a tool that is not whole",
    ),
    "tool_unknown": Kind(
        "output_tools", "output", strict=_C, balanced=_C, can_clean=True, wall=True,
        message="an answer calls a tool that it was not offered",
    ),
    "tool_surplus": Kind(
        "output_tools", "output", strict=_C, balanced=_C, can_clean=True, wall=True,
        message="an answer holds more calls of tools than it may",
    ),
    "tool_arguments": Kind(
        "output_tools", "output", strict=_C, balanced=_C, can_clean=True, wall=True,
        message="an answer calls a tool with arguments that are not of its schema",
    ),
    "tool_needs_confirmation": Kind(
        "output_tools", "output", strict=_C, balanced=_C, can_clean=True,
        message="an answer calls a sensitive tool after the model has read texts of strangers, "
        "and the request does not confirm that",
    ),
    # answers that are to be JSON
    "schema_mismatch": Kind(
        "output_schema", "output", strict=_X, balanced=_X, wall=True,
        message="an answer is not JSON of the schema that was asked for",
    ),
    # answers without an end
    "repetition": Kind(
        "output_bounds", "output", strict=_X, balanced=_R,
        message="an answer runs in a circle",
    ),
    "long_output": Kind(
        "output_bounds", "output", strict=_X, balanced=_X,
        message="an answer is longer than the policy allows",
    ),
})  # fmt: skip
