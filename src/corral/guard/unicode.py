"""Stages for characters: what nobody sees is taken out, then the text is put into NFC.

Trust: gateway [net] and command line; pure. Input: untrusted text, already free of control
characters and surrogates (`guard.text`). An ASCII text costs one look.

NFC, never NFKC, in what the model reads: NFKC changes meaning (x² to x2) and makes control tokens
out of full-width letters. The order matters: an invisible character between a letter and its accent
keeps them apart, so it goes first. Sources: UAX 15, UTR 36, UTS 39, CVE-2021-42574.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Final

from corral.guard.characters import MARKS, has_marks, outside_of
from corral.guard.finding import NOTHING, Edit, Finding, Handling, Part, Verdict
from corral.guard.unseen import unseen_runs

FINDINGS_MAX: Final = 32
"""Places that are told of each kind and text; what is cleaned is cleaned everywhere."""

MARKS_MAX: Final = 8
"""Combining characters on one letter; living languages need up to six."""

_JAMO: Final = "\u1160-\u11ff"  # vowels and finals, which join the Hangul syllable before them
_CLUSTER: Final = re.compile(f"(?s:.)[{MARKS}{_JAMO}]*")
_REGION: Final = re.compile("[\x00-\x7f]?[^\x00-\x7f]+")
_FLOOD: Final = re.compile(f"[{MARKS}][{MARKS}]{{{MARKS_MAX},}}")


class InvisibleStage:
    """Text that nobody sees: tags, variation selectors, controls of direction, zero width.

    Args:
        handling: what the policy does with its kinds.
    """

    name = "unicode"

    def __init__(self, handling: Mapping[str, Handling]) -> None:
        self._handling = handling

    def look(self, part: Part) -> Verdict:
        """Return what is unseen in one text."""
        if part.text.isascii():
            return NOTHING
        told = _Told()
        edits = []
        for run in unseen_runs(part.text):
            handling = self._handling.get(run.kind, Handling.ALLOW)
            if handling is Handling.ALLOW:
                continue
            told.add(run.kind, run.start, run.end, _note(run.payload))
            if handling is Handling.CLEAN:
                edits.append(Edit(run.start, run.end))
        return told.verdict(edits)


class NormalStage:
    """Text that is not in NFC, letters under floods of accents, and scripts out of a policy's list.

    Args:
        handling: what the policy does with its kinds.
        scripts: names of Unicode's scripts that texts may be written in; empty allows all.

    Raises:
        ValueError: a name is no script.
    """

    name = "unicode"

    def __init__(self, handling: Mapping[str, Handling], scripts: Collection[str] = ()) -> None:
        self._denormal = handling.get("denormal_text", Handling.ALLOW)
        self._flood = handling.get("combining_flood", Handling.ALLOW)
        self._foreign = handling.get("foreign_script", Handling.ALLOW)
        self._outside = (
            re.compile(f"[{outside_of(frozenset(scripts))}]+")
            if scripts and self._foreign is not Handling.ALLOW
            else None
        )

    def look(self, part: Part) -> Verdict:
        """Return what is not normal in one text."""
        text = part.text
        if text.isascii() and self._outside is None:
            return NOTHING
        told = _Told()
        edits: list[Edit] = []
        # The order: whether a text is normal may only be asked where no flood is, for the
        # library's answer takes the square of a flood's length.
        if (has_marks(text) and _FLOOD.search(text)) or not unicodedata.is_normalized("NFC", text):
            for region in _REGION.finditer(text):
                for cluster in _CLUSTER.finditer(text, *region.span()):
                    self._look_at(cluster[0], cluster.start(), told, edits)
        if self._outside is not None:
            for found in self._outside.finditer(text):
                told.add("foreign_script", *found.span(), "")
        return told.verdict(edits)

    def _look_at(self, cluster: str, start: int, told: _Told, edits: list[Edit]) -> None:
        end = start + len(cluster)
        better = cluster
        if _FLOOD.search(cluster, 1):
            if self._flood is not Handling.ALLOW:
                told.add("combining_flood", start, end, f"{len(cluster)} characters")
            if self._flood is not Handling.CLEAN:
                return
            # Normalised first: a mark may be two, and the rest must not be a flood again.
            better = unicodedata.normalize("NFC", cluster[: MARKS_MAX + 1])[: MARKS_MAX + 1]
        if self._denormal is not Handling.ALLOW:
            normal = unicodedata.normalize("NFC", better)
            if normal != better:
                told.add("denormal_text", start, end, "")
                if self._denormal is Handling.CLEAN:
                    better = normal
        if better != cluster:
            edits.append(Edit(start, end, better))


class _Told:
    """The findings of one text, bounded."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._counts: dict[str, int] = {}

    def add(self, kind: str, start: int, end: int, note: str) -> None:
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= FINDINGS_MAX:
            self._findings.append(Finding(kind, start, end, note))

    def verdict(self, edits: list[Edit]) -> Verdict:
        if not self._findings and not edits:
            return NOTHING
        return Verdict(tuple(sorted(self._findings, key=lambda f: f.start)), tuple(edits))


def _note(payload: str) -> str:
    return f"payload of {len(payload)} characters" if payload else ""
