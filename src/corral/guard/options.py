"""The numbers, lists and choices of a sanitation policy: `[policies.NAME.options]`.

Trust: gateway [net] and command line; data. Input: an operator's file, checked by these types.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from corral.guard.characters import SCRIPT_NAMES
from corral.guard.finding import Origin
from corral.guard.spotlight import Way

Base = Literal["strict", "balanced", "off"]
Sink = Literal["auto", "text", "markdown", "html", "terminal", "json"]
_Host = Annotated[str, msgspec.Meta(pattern=r"^\.?[a-z0-9-]+(\.[a-z0-9-]+)*\Z", max_length=253)]
_Word = Annotated[str, msgspec.Meta(pattern=r"^[^\W_]+\Z", max_length=64)]
_Tool = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_*-]{1,64}\Z")]
_Term = Annotated[str, msgspec.Meta(min_length=2, max_length=64)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of all stages; each says which one reads it.

    Attributes:
        scripts: unicode: Unicode's names of scripts (`Latin`, `Greek`, ...) that texts may be
            written in; empty allows all.
        html_origins: html: whose texts are looked at.
        personal: `private_data`: what stands for personal data that is cleaned: a fixed mark, or a
            placeholder of this request that is turned back in the answer.
        private_terms: `private_data`, both ways: what `private_term` is; case does not count.
        spotlight: how texts of tools and documents are shown to the model, see `guard.spotlight`.
        sink: answers: where they are shown, and so what is made harmless in them; `auto` is
            Markdown for chats and plain text for text completions.
        link_hosts: answers: hosts that images and links may be of; `.host` is a host's subdomains.
        canary: answers: put a random word behind the system prompt, and look for it.
        prompt_leak_words: answers: this many words of the system prompt in a row are `prompt_leak`.
        answer_characters_max: answers: longer ones are `long_output`; 0 for no bound of this kind.
        tools_allowed, tools_denied: tools: names that models may call, and may not whatever the
            first says; `*` stands for any characters.
        tools_sensitive: tools: names whose calls need the caller's confirmation where the
            conversation holds texts of strangers.
        detector: detector: where none answers, `required` refuses; so does `installed`, unless none
            is installed and the operator said that corral may do without one.
        guard_model: guard_model: name of an admitted model that is asked about each text; empty for
            none.
        guard_safe, guard_unsafe: guard_model: the first word of its answer, in either case; of any
            other word nothing is known, and the request is refused.
        flag, block: detector: probabilities from which a text is suspected, and detected; 0 takes
            the detector's own.
        image_pixels_max: media: of an image as it comes; more are `media_too_large`.
        image_side_max: media: larger ones are scaled down to this longest side, in pixels.
        audio_seconds_max: media: longer sounds are `media_too_large`.
    """

    scripts: tuple[str, ...] = ()
    html_origins: tuple[Origin, ...] = ("tool", "document")
    personal: Literal["mark", "placeholder"] = "mark"
    private_terms: Annotated[tuple[_Term, ...], msgspec.Meta(max_length=1000)] = ()
    spotlight: Literal["none"] | Way = "none"
    sink: Sink = "auto"
    link_hosts: Annotated[tuple[_Host, ...], msgspec.Meta(max_length=1000)] = ()
    canary: bool = False
    prompt_leak_words: Annotated[int, msgspec.Meta(ge=4, le=64)] = 8
    answer_characters_max: Annotated[int, msgspec.Meta(ge=0)] = 0
    tools_allowed: Annotated[tuple[_Tool, ...], msgspec.Meta(max_length=1000)] = ("*",)
    tools_denied: Annotated[tuple[_Tool, ...], msgspec.Meta(max_length=1000)] = ()
    tools_sensitive: Annotated[tuple[_Tool, ...], msgspec.Meta(max_length=1000)] = ()
    detector: Literal["off", "installed", "required"] = "off"
    guard_model: Annotated[str, msgspec.Meta(max_length=128)] = ""
    guard_safe: _Word = "safe"
    guard_unsafe: _Word = "unsafe"
    flag: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    block: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    image_pixels_max: Annotated[int, msgspec.Meta(ge=1, le=25_000_000)] = 25_000_000
    image_side_max: Annotated[int, msgspec.Meta(ge=16, le=1536)] = 1024
    audio_seconds_max: Annotated[int, msgspec.Meta(ge=1, le=240)] = 120

    def __post_init__(self) -> None:
        """Check what the types do not say.

        Raises:
            ValueError: an option has a value that no stage knows.
        """
        if unknown := set(self.scripts) - SCRIPT_NAMES:
            raise ValueError(f"no script of Unicode is called {min(unknown)}")
        if self.guard_safe.casefold() == self.guard_unsafe.casefold():
            raise ValueError("guard_safe and guard_unsafe are the same word")


BUILT_IN: Final[Mapping[Base, Options]] = MappingProxyType({
    "strict": Options(spotlight="datamark", canary=True, detector="required"),
    "balanced": Options(spotlight="delimit", detector="installed"),
    "off": Options(),
})  # fmt: skip
"""What the three policies that everybody has start from."""
