"""Model files: every file gets a report that its reader accepts, and no rule of the scanner fails.

A finding `scanner_error` means that the scanner met something that none of its rules foresaw. What
is accepted, the unchanged `gguf` library reads as we do.
"""

from __future__ import annotations

from corral.admission.report import REPORT_BYTES, Report, encode_report, parse_report
from fuzz.target import Target
from tests.support.additions import ADAPTER, PROJECTOR, VECTOR
from tests.support.gguf_file import STRING, GgufFile, array, scalar
from tests.support.library_reader import read_by_library, read_by_us
from tests.support.scanned import scan


def check(data: bytes) -> None:
    """Scan the file and read the report as the operator's side does."""
    report = scan(data)
    hold(report)
    if report.verdict != "reject" and read_by_library(data) != read_by_us(data):
        raise AssertionError("the library reads something else")


def hold(report: Report) -> None:
    """Raise unless the report is of a scan that worked and is one that its reader accepts."""
    if any(finding.code == "scanner_error" for finding in report.findings):
        raise AssertionError("the scanner failed")
    line = encode_report(report)
    if len(line) <= REPORT_BYTES and parse_report(line) != report:
        raise AssertionError("the report is not one that its reader accepts")


_MERGING = GgufFile().with_values(
    {
        "tokenizer.ggml.model": scalar(STRING, "gpt2"),
        "tokenizer.ggml.pre": scalar(STRING, "qwen2"),
        "tokenizer.ggml.merges": array(STRING, ["a b", "b c"]),
    }
)

TARGET = Target(
    "gguf",
    check,
    (
        GgufFile().encode(), GgufFile(version=2).encode(), GgufFile(values={}).encode(),
        _MERGING.encode(), ADAPTER.encode(), PROJECTOR.encode(), VECTOR.encode(),
    ),
)  # fmt: skip
