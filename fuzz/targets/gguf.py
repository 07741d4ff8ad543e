"""Model files: every file gets a report that its reader accepts, and no rule of the scanner fails.

A finding `scanner_error` means that the scanner met something that none of its rules foresaw.
"""

from __future__ import annotations

import os

from corral.admission.report import REPORT_BYTES, encode_report, parse_report
from corral.admission.scan.examination import scan_descriptor
from fuzz.target import Target
from tests.support.gguf_file import GgufFile


def check(data: bytes) -> None:
    """Scan the file and read the report as the operator's side does."""
    fd = os.memfd_create("candidate", os.MFD_CLOEXEC)
    try:
        os.write(fd, data)
        report = scan_descriptor(fd)
    finally:
        os.close(fd)
    if any(finding.code == "scanner_error" for finding in report.findings):
        raise AssertionError("the scanner failed")
    line = encode_report(report)
    if len(line) <= REPORT_BYTES and parse_report(line) != report:
        raise AssertionError("the report is not one that its reader accepts")


TARGET = Target(
    "gguf", check, (GgufFile().encode(), GgufFile(version=2).encode(), GgufFile(values={}).encode())
)
