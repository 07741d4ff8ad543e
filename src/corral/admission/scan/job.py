"""The scan job: read one request, examine the files, print one report line, exit.

Trust: scan jail (no network, no other file). Must never print text of the file unescaped.
Input: one line of the operator's side on stdin, and untrusted files.
Exit code 0 means that a report was printed, whatever it says.

The file is descriptor 3, or what `--candidate` names for runtimes that pass no descriptors; what
belongs to it lies in the folder that `--beside` names.
"""

from __future__ import annotations

import os
import sys
from typing import Final

_FILE_FD: Final = 3
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def main() -> None:
    """Scan the candidate and print the report."""
    # Its threads' stacks and buffers count as ours, and nothing here is a matrix.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from corral.admission.report import REPORT_BYTES, encode_report
    from corral.admission.scan.examination import merge_descriptors, rejected, scan_descriptor
    from corral.admission.scan.merge_plan import MergePlan, encode_merge_plan
    from corral.admission.scan.request import (
        MODEL_FILE,
        REQUEST_BYTES,
        TEMPLATE_FILE,
        parse_request,
        part_file,
    )

    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    candidate, beside = options.get("--candidate"), options.get("--beside", "/quarantine")
    request = parse_request(sys.stdin.buffer.readline(REQUEST_BYTES))
    fd = _FILE_FD if candidate is None else os.open(candidate, os.O_RDONLY | os.O_CLOEXEC)
    parts = [os.open(f"{beside}/{part_file(n)}", _FLAGS) for n in range(len(request.parts))]
    model = os.open(f"{beside}/{MODEL_FILE}", _FLAGS) if request.companion else -1
    template = os.open(f"{beside}/{TEMPLATE_FILE}", _FLAGS) if request.template else -1
    if request.merge:
        found = merge_descriptors(fd, request, parts)
        line = encode_merge_plan(found) if isinstance(found, MergePlan) else encode_report(found)
    else:
        line = encode_report(
            scan_descriptor(fd, request, parts=parts, model=model, template=template)
        )
    if len(line) > REPORT_BYTES:
        line = encode_report(rejected("report_size", "the report about the file is too long"))
    while line:
        line = line[os.write(1, line) :]


if __name__ == "__main__":
    main()
