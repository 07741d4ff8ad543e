"""What a scan found as a SARIF 2.1.0 log, for code hosts and dashboards that read that.

Trust: operator side; no I/O. Input: a checked report; its texts of model files are untrusted, hold
no control characters, and are escaped as JSON by whoever writes the log.

Format: OASIS, Static Analysis Results Interchange Format (SARIF) 2.1.0, Errata 01. Every rule of
the catalogue is in the log, so that it says what was looked for and not only what was found.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from corral.admission.report import Finding, Report, Severity
from corral.admission.rules import Rule, reference_address, rules
from corral.admission.scan.runner import ScannedFile, ScannedFiles
from corral.core.errors import CorralError

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
FINGERPRINT: Final = "corralFinding/v1"
_LEVELS: Final[dict[Severity, str]] = {"info": "note", "flag": "warning", "reject": "error"}


def make_sarif(scanned: ScannedFiles, *, version: str) -> dict[str, Any]:
    """Return the log of a scan.

    Args:
        scanned: what was found, and in which files.
        version: of corral.
    """
    report, files = scanned.report, scanned.files
    run = _run(version, successful=True)
    run["artifacts"] = [_artifact(file) for file in files]
    run["results"] = _results(report, files)
    run["properties"] = {
        "verdict": report.verdict, "kind": report.kind, "scanner": report.scanner,
    }  # fmt: skip
    return _log(run)


def make_failure_sarif(error: CorralError, *, version: str) -> dict[str, Any]:
    """Return the log of a scan that came to no result: it says so, and must not look clean.

    Args:
        error: what ended it.
        version: of corral.
    """
    run = _run(version, successful=False)
    notification = {
        "descriptor": {"id": error.code}, "level": "error", "message": {"text": error.message},
    }  # fmt: skip
    run["invocations"][0]["toolExecutionNotifications"] = [notification]
    return _log(run)


def _log(run: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _run(version: str, *, successful: bool) -> dict[str, Any]:
    driver = {
        "name": "corral",
        "version": version,
        "semanticVersion": version,
        "rules": [_descriptor(rule) for rule in rules().values()],
    }
    return {"tool": {"driver": driver}, "invocations": [{"executionSuccessful": successful}]}


def _descriptor(rule: Rule) -> dict[str, Any]:
    addresses = [(text, reference_address(text)) for text in rule.references]
    plain = "; ".join(f"{text} {address}".rstrip() for text, address in addresses)
    marked = "\n".join(
        f"- [{text}]({address})" if address else f"- {text}" for text, address in addresses
    )
    found: dict[str, Any] = {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {
            "text": f"{rule.why}\nDo: {rule.mend}\nSee: {plain}",
            "markdown": f"{rule.why}\n\n**Do:** {rule.mend}\n\n**See:**\n{marked}",
        },
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": ["security", rule.area]},
    }
    if first := next((address for _, address in addresses if address), ""):
        found["helpUri"] = first
    return found


def _artifact(file: ScannedFile) -> dict[str, Any]:
    return {
        "location": {"uri": _address(file)},
        "length": file.size_bytes,
        "roles": ["analysisTarget"],
        "hashes": {"sha-256": file.digest},
    }


def _address(file: ScannedFile) -> str:
    """Return the file's URI: relative if it was named so (RFC 3986, 4.2)."""
    path = quote(os.fsencode(file.path))
    return f"file://{path}" if file.path.is_absolute() else path


def _results(report: Report, files: Sequence[ScannedFile]) -> list[dict[str, Any]]:
    numbers = {name: number for number, name in enumerate(rules())}
    seen: Counter[tuple[str, str]] = Counter()
    found: list[dict[str, Any]] = []
    for finding in report.findings:
        result: dict[str, Any] = {
            "ruleId": finding.code,
            "level": _LEVELS[finding.severity],
            "message": {"text": finding.message},
            "locations": [_location(finding, file, at) for at, file in enumerate(files)],
            "partialFingerprints": {
                FINGERPRINT: _fingerprint(finding, seen[finding.code, finding.where])
            },
        }
        if finding.code in numbers:
            result["ruleIndex"] = numbers[finding.code]
        seen[finding.code, finding.where] += 1
        found.append(result)
    return found


def _location(finding: Finding, file: ScannedFile, at: int) -> dict[str, Any]:
    """Return the place in one file; a finding about a set is about each file of it."""
    physical: dict[str, Any] = {"artifactLocation": {"uri": _address(file), "index": at}}
    if finding.offset is not None:
        physical["region"] = {"byteOffset": finding.offset, "byteLength": finding.length}
    location: dict[str, Any] = {"physicalLocation": physical}
    if finding.where:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.where}]
    return location


def _fingerprint(finding: Finding, before: int) -> str:
    """Return what stays the same where a file moves, grows or is renamed (3.27.17)."""
    text = f"{finding.code}\n{finding.where}\n{before}"
    return hashlib.sha256(text.encode()).hexdigest()
