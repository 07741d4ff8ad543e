"""The scan job: examine one file, print one report line, exit.

Trust: scan jail (no network, no other file). Must never print text of the file unescaped.
Input: untrusted file. Every failure, of whatever kind, is a report that rejects: fail closed.
Exit code 0 means that a report was printed, whatever it says.

The file is descriptor 3, or what `--candidate` names for runtimes that pass no descriptors.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Final

from corral.admission.scan.cursor import Cursor, ScanRefusal
from corral.admission.scan.facts import check_floats, derive_facts
from corral.admission.scan.library import check_with_library
from corral.admission.scan.metadata import Metadata, parse_metadata
from corral.admission.scan.report import (
    REPORT_BYTES,
    SCANNER,
    Facts,
    Finding,
    Report,
    encode_report,
    make_report,
)
from corral.admission.scan.tensors import parse_tensors

_FILE_FD: Final = 3


def scan_descriptor(fd: int) -> Report:
    """Examine an open file.

    1. parse the header and key-value pairs within bounds
    2. parse the tensor descriptions; their data fills the rest of the file
    3. let the `gguf` library read the same and compare
    4. derive the facts, each in its range
    """
    try:
        facts, findings = _scan(fd)
    except ScanRefusal as refusal:
        return _rejected(refusal.code, refusal.message, refusal.where)
    except MemoryError:
        return _rejected("resource_limit", "the file needs more memory than a scan may use")
    except Exception:
        return _rejected("scanner_error", "the scanner failed on this file")
    return make_report(findings, facts, SCANNER)


def _scan(fd: int) -> tuple[Facts, tuple[Finding, ...]]:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise ScanRefusal("not_a_file", "the candidate is not a regular file")
    cursor = Cursor(fd)
    metadata = parse_metadata(cursor)
    tensors = parse_tensors(cursor, metadata)
    check_floats(metadata)
    check_with_library(fd, cursor.offset, metadata, tensors)
    return derive_facts(metadata, tensors), _remarks(metadata)


def _remarks(metadata: Metadata) -> tuple[Finding, ...]:
    found: list[Finding] = []
    if "tokenizer.chat_template" not in metadata.values:
        found.append(Finding("no_chat_template", "info", "the model brings no chat template"))
    for key in metadata.values:
        if key.startswith("general.sampling."):
            # Measured: a negative repeat penalty here ends the engine by an uncaught exception.
            message = "the file sets sampling defaults, which the engine applies unchecked"
            found.append(Finding("sampling_defaults", "reject", message, _escape(key.encode())))
            break
    for key, value in metadata.values.items():
        if key.endswith(".attention.causal") and not all(value.items):
            found.append(Finding("causal_attn", "flag", "the model is not a causal one"))
    return tuple(found)


def _rejected(code: str, message: str, where: bytes = b"") -> Report:
    return make_report((Finding(code, "reject", message, _escape(where)),), None, SCANNER)


def _escape(raw: bytes) -> str:
    return raw[:64].decode("ascii", "backslashreplace").encode("unicode_escape").decode()[:160]


def main() -> None:
    """Scan the candidate and print the report."""
    match sys.argv[1:]:
        case ["--candidate", path]:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        case _:
            fd = _FILE_FD
    line = encode_report(scan_descriptor(fd))
    if len(line) > REPORT_BYTES:
        line = encode_report(_rejected("report_size", "the report about the file is too long"))
    while line:
        line = line[os.write(1, line) :]


if __name__ == "__main__":
    main()
