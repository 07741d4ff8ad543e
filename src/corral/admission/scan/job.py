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

from corral.admission.report import (
    FINDINGS,
    REPORT_BYTES,
    SCANNER,
    Facts,
    Finding,
    Report,
    encode_report,
    make_report,
)
from corral.admission.scan.adapter import check_adapter
from corral.admission.scan.artifact import artifact_kind
from corral.admission.scan.control_vector import check_control_vector
from corral.admission.scan.cursor import Cursor, ScanRefusal
from corral.admission.scan.defaults import check_defaults
from corral.admission.scan.facts import check_floats, gather_facts
from corral.admission.scan.hyperparameters import check_rotation, read_hyperparameters
from corral.admission.scan.keys import check_keys
from corral.admission.scan.library import check_with_library
from corral.admission.scan.metadata import Metadata, parse_metadata
from corral.admission.scan.projector import check_projector
from corral.admission.scan.shapes import check_tensors
from corral.admission.scan.split import read_part
from corral.admission.scan.tensors import Tensor, parse_tensors
from corral.admission.scan.tokenizer import Vocabulary, read_vocabulary
from corral.admission.scan.values import Values
from corral.admission.scan.weights import check_finite, check_padding
from corral.admission.template.analysis import analyse_template

_FILE_FD: Final = 3


def scan_descriptor(fd: int) -> Report:
    """Examine an open file.

    1. parse the header and key-value pairs within bounds
    2. parse the tensor descriptions; their data fills the rest of the file
    3. let the `gguf` library read the same and compare
    4. decide what the file is, and hold it against the rules of its kind; examine its chat
       templates, which are programs
    5. look at the data: padding, and numbers that are none
    """
    try:
        return _scan(fd)
    except ScanRefusal as refusal:
        return _rejected(refusal.code, refusal.message, refusal.where)
    except MemoryError:
        return _rejected("resource_limit", "the file needs more memory than a scan may use")
    except Exception:
        return _rejected("scanner_error", "the scanner failed on this file")


def _scan(fd: int) -> Report:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise ScanRefusal("not_a_file", "the candidate is not a regular file")
    # 1, 2, 3
    cursor = Cursor(fd)
    metadata = parse_metadata(cursor)
    tensors = parse_tensors(cursor, metadata)
    check_floats(metadata)
    check_with_library(fd, cursor.offset, metadata, tensors)
    # 4
    values = Values(metadata.values)
    kind = artifact_kind(values, tensors)
    findings = [*check_keys(values), *check_defaults(values)]
    facts: Facts | None = None
    if kind == "model":
        facts, remarks = _examine_model(metadata, values, tensors)
        findings += remarks
    elif kind == "adapter":
        check_adapter(values, tensors)
    elif kind == "projector":
        check_projector(values)
    else:
        check_control_vector(values, tensors)
    # 5
    if tensors:
        check_padding(fd, tensors, cursor.offset)
        check_finite(fd, tensors)
    return make_report(tuple(findings[:FINDINGS]), facts, SCANNER, kind)


def _examine_model(
    metadata: Metadata, values: Values, tensors: tuple[Tensor, ...]
) -> tuple[Facts, tuple[Finding, ...]]:
    if read_part(values) is not None:
        raise ScanRefusal("split", "the file is one part of a model; a part alone is not served")
    vocabulary = read_vocabulary(values)
    sizes = read_hyperparameters(values)
    check_tensors(tensors, sizes, len(vocabulary.tokens))
    check_rotation(values, sizes)
    remarks = (*vocabulary.remarks, *_examine_templates(values, vocabulary))
    return gather_facts(metadata, sizes, vocabulary, tensors), remarks


def _examine_templates(values: Values, vocabulary: Vocabulary) -> tuple[Finding, ...]:
    return tuple(
        finding
        for key in values
        if key == "tokenizer.chat_template" or key.startswith("tokenizer.chat_template.")
        for finding in analyse_template(
            key,
            values.text(key, ""),
            control_tokens=vocabulary.control,
            bos=vocabulary.bos,
            eos=vocabulary.eos,
        )
    )


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
