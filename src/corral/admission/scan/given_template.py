"""A chat template that the operator gives in place of a model's own: read it, say what it is about.

Trust: scan jail. Input: a file of whatever bytes; nobody has looked into it.
"""

from __future__ import annotations

import os
from typing import Final

from msgspec.structs import replace

from corral.admission.report import Finding
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.template.examination import TEMPLATE_KEY
from corral.admission.template.limits import TEXT_BYTES

_READ_BYTES: Final = 8 * TEXT_BYTES
"""More than any template may have, so that the analysis sees that it is too long."""
GIVEN: Final = "the given template"
"""Where the findings about it are: nowhere in the model's file."""


def read_given(fd: int) -> str:
    """Return the text of a template file, or its beginning if it is longer than any may be.

    Raises:
        ScanRefusal: code `template_syntax`.
    """
    raw = os.pread(fd, _READ_BYTES, 0)
    try:
        text = raw.decode(errors="strict" if len(raw) < _READ_BYTES else "ignore")
    except UnicodeDecodeError as error:
        raise ScanRefusal("template_syntax", "the template is not UTF-8", GIVEN.encode()) from error
    if not text.strip():
        raise ScanRefusal("template_syntax", "the template is empty", GIVEN.encode())
    return text


def about_given(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return findings about a template with the place that it has."""
    return tuple(
        replace(one, where=GIVEN + one.where.removeprefix(TEMPLATE_KEY)) for one in findings
    )
