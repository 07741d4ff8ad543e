"""What a generated hostile file is: itself, beside a sound one that is like it.

A case has what it is about (a CVE, a report, or the place of a rule), the code it must be refused
by, the file, and the same file without the fault, which must be accepted: a scanner that refuses
everything proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.gguf_file import GgufFile

SOUND = GgufFile()
I8, I16, U64, I64, F64 = 1, 3, 10, 11, 12


@dataclass(frozen=True)
class Case:
    """One hostile file.

    Attributes:
        about: a CVE or a report, or what is wrong.
        code: of the finding that must be there.
        verdict: `reject`, or `flag` for what is well formed.
        hostile: its bytes.
        sound: the bytes of its control.
    """

    name: str
    about: str
    code: str
    hostile: bytes
    sound: bytes
    verdict: str = "reject"
