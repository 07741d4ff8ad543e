"""Lines of the scan job, as a hostile one could print them: nothing, or a report that holds.

A report survives the way back, has the verdict that follows from its findings, and is printable.
"""

from __future__ import annotations

from corral.admission.report import (
    Facts,
    Finding,
    ProjectorFacts,
    encode_report,
    make_report,
    parse_report,
)
from fuzz.target import Target

_PROJECTOR = ProjectorFacts(images=True, sounds=False, memory_bytes=1 << 20)
_FACTS = Facts("llama", 2048, 2, 64, 8, 2, 256, 1024, 512, 3, "F32", True, ("<s>",))


def check(data: bytes) -> None:
    """Parse, encode and parse again."""
    report = parse_report(data)
    if report is None:
        return
    if parse_report(encode_report(report)) != report:
        raise AssertionError("the report changed on its way")
    found = report.kind, report.template, report.projector
    if make_report(report.findings, report.facts, report.scanner, *found) != report:
        raise AssertionError("the verdict does not follow from the findings")


TARGET = Target(
    "report",
    check,
    (
        encode_report(make_report((), _FACTS, "s 1")),
        encode_report(make_report((Finding("a_code", "flag", "why", "key"),), _FACTS, "s 1")),
        encode_report(make_report((Finding("magic", "reject", "why"),), None, "s 1")),
        encode_report(make_report((), None, "s 1", "projector", projector=_PROJECTOR)),
    ),
)
