"""What the analyser says of collections of templates: `scripts/template_survey.py [--write]`.

Prints a table; with --write it is put into docs/templates.md. Each flagged template of a harmless
collection is named below the table, and each hostile one that is not flagged.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from template_sources import ARTIFACTS, Artifact, Found, markers, templates

from corral.admission.report import Finding
from corral.admission.template.analysis import analyse_template
from corral.admission.template.known import known_template
from corral.admission.template.normal import template_digest

PAGE = Path("docs/templates.md")
BEGIN, END = "<!-- survey begins -->\n", "<!-- survey ends -->\n"


def main() -> None:
    """Survey, print, and write if asked."""
    rows, named, slowest = [], [], 0.0
    for artifact in ARTIFACTS:
        total = flagged = refused = 0
        for found in templates(artifact):
            if not found.text:
                continue
            began_s = time.process_time()
            codes = _codes(found)
            slowest = max(slowest, time.process_time() - began_s)
            total += 1
            flagged += bool(codes)
            unknown = known_template(template_digest(found.text)) is None
            refused += bool(codes) and unknown
            if bool(codes) == (artifact.kind == "benign"):
                reason = ", ".join(sorted({code.code for code in codes})) or "nothing found"
                note = "" if unknown else " (in the catalogue, by review)"
                named.append(f"- {artifact.kind}: `{found.name}`: {reason}{note}")
        rows.append(f"| {_title(artifact)} | {artifact.kind} | {total} | {flagged} | {refused} |")
    table = "\n".join([
        "| collection | kind | templates | flagged by the analyser | refused |",
        "|---|---|---|---|---|",
        *rows, "",
        f"The slowest took {slowest:.1f} s of processor time. What is not as its kind says:", "",
        *named, "",
    ])  # fmt: skip
    sys.stdout.write(table)
    if sys.argv[1:] == ["--write"]:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(before + BEGIN + table + END + after, encoding="utf-8")


def _codes(found: Found) -> list[Finding]:
    findings = analyse_template(
        found.name, found.text, control_tokens=found.control_tokens or markers(found.text),
        bos=found.bos, eos=found.eos,
    )  # fmt: skip
    return [finding for finding in findings if finding.severity != "info"]


def _title(artifact: Artifact) -> str:
    where = artifact.members.strip(".*/").partition("[")[0].rstrip("/")
    return f"`{artifact.file}` {where}".replace("\\", "").replace("|", "")


if __name__ == "__main__":
    main()
