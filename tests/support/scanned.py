"""Scan bytes as the scan job does, without a jail."""

from __future__ import annotations

import os

from corral.admission.report import Report
from corral.admission.scan.job import scan_descriptor


def scan(raw: bytes) -> Report:
    fd = os.memfd_create("candidate")
    try:
        os.write(fd, raw)
        return scan_descriptor(fd)
    finally:
        os.close(fd)


def worst_code(raw: bytes) -> tuple[str, str]:
    """Return the verdict on a file, and the code of the finding that led to it."""
    report = scan(raw)
    for finding in report.findings:
        if finding.severity == report.verdict:
            return report.verdict, finding.code
    return report.verdict, ""
