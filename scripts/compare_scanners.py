"""`make compare-scanners`: what corral and scanners of others say of each case of the GGUF cases.

    scripts/compare_scanners.py [--cases DIR] [--seconds N] [--only TOOL] [--again]

Each scanner comes from PyPI, pinned, into a virtual environment of its own below
~/.cache/corral-scanners; what it said of a case is kept there, so that a run can be broken off
(--seconds) and gone on with. When all is there, docs/scanner-comparison.md is written.

A hit is something that a scanner says of a hostile file and not of the sound file that it is like:
an exit code, or a finding where the exit code says nothing. Corral runs as `corral scan` does, each
file in a jail.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "scanner-comparison.md"
CACHE = Path.home() / ".cache" / "corral-scanners"
CONTROL: Final = "Z01_tiny_ok"
SPLIT: Final = "H01_split_ok"
_CONTROLS: Final = {"lora": "Z07_lora_ok"}
_TIMEOUT_S: Final = 60
_QUIET: Final = {
    "AISBOM_OFFLINE": "1", "PROMPTFOO_DISABLE_TELEMETRY": "1", "NO_ANALYTICS": "1", "NO_COLOR": "1",
}  # fmt: skip
FAMILIES: Final = {
    "A": "header", "B": "key-value pairs", "C": "tensors", "D": "data", "E": "sizes",
    "F": "tokenizer", "G": "templates", "H": "sets and additions", "I": "other formats",
}  # fmt: skip

Findings = Callable[[int, str], set[str]]


@dataclass(frozen=True)
class Scanner:
    """One scanner of others.

    Attributes:
        arguments: of its command, before the file.
        findings: what it found, from its exit code and output.
    """

    name: str
    version: str
    command: str
    arguments: tuple[str, ...]
    findings: Findings


def by_exit_code(code: int, _output: str) -> set[str]:
    """Any exit code but 0 is a finding."""
    return {f"exit {code}"} if code else set()


def by_pillar(code: int, output: str) -> set[str]:
    """Its exit code says nothing of what it found."""
    if code:
        return {f"exit {code}"}
    found = json.loads(output)
    said = [*found.get("findings", []), *found.get("errors", [])]
    return {json.dumps(one, sort_keys=True)[:80] for one in said}


def by_rule_ids(code: int, output: str) -> set[str]:
    """It says something of every file: what counts is what it does not say of the sound one."""
    return {f"exit {code}"} if code > 1 else set(re.findall(r"\b[A-Z]{1,3}\d{3}\b", output))


_MODELVET = (
    "import modelvet, sys; sys.exit(modelvet.verify_path(sys.argv[1]).verdict.name == 'REJECT')"
)
SCANNERS: Final = (
    Scanner("pillar-gguf-scanner", "0.1.2", "pillar-gguf-scanner", ("--json", "--no-pillar"),
            by_pillar),
    Scanner("modelaudit", "0.2.54", "modelaudit", ("scan",), by_exit_code),
    Scanner("glyphhound", "0.1.0", "glyphhound", ("scan",), by_exit_code),
    Scanner("c4nary", "0.3.1", "c4nary", ("scan",), by_rule_ids),
    Scanner("modelvet", "0.1.1", "python", ("-c", _MODELVET), by_exit_code),
    Scanner("hayward", "1.4.1", "hayward", ("scan",), by_exit_code),
    Scanner("ggufdoctor", "0.3.0", "ggufdoctor", (), by_rule_ids),
    Scanner("gguf-inspect", "0.1.0", "gguf-inspect", ("--no-color",), by_exit_code),
    Scanner("weightguard", "0.2.0", "weightguard", ("scan",), by_exit_code),
    Scanner("aisbom-cli", "1.7.0", "aisbom", ("scan",), by_exit_code),
)  # fmt: skip


def main() -> int:
    """Run what is not known yet; write the page if all is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--cases", type=Path, default=ROOT.parent / "shared/data/gguf-cases")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--only", choices=["corral", *(one.name for one in SCANNERS)])
    parser.add_argument("--again", action="store_true", help="forget what is known")
    options = parser.parse_args()
    cases = json.loads((options.cases / "cases.json").read_text())
    end = time.monotonic() + options.seconds
    complete = True
    for name in ["corral", *(one.name for one in SCANNERS)]:
        if options.only not in {None, name}:
            continue
        known = {} if options.again else load(name)
        missing = [case for case in cases if case["id"] not in known]
        if missing and name == "corral":
            known |= run_corral(options.cases, missing)
        elif missing:
            scanner = next(one for one in SCANNERS if one.name == name)
            install(scanner)
            for case in missing:
                if time.monotonic() > end:
                    break
                known[case["id"]] = run_one(scanner, options.cases, case)
        save(name, known)
        complete &= len(known) == len(cases)
        sys.stdout.write(f"{name}: {len(known)} of {len(cases)} cases\n")
    if complete and options.only is None:
        PAGE.write_text(page(cases, {n: load(n) for n in names()}), encoding="utf-8")
        sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
    return 0 if complete else 1


def names() -> list[str]:
    """Return the columns."""
    return ["corral", *(one.name for one in SCANNERS)]


def file_of(folder: Path, case: dict[str, Any]) -> Path:
    """Return the file of a case, or the first part of its set."""
    path = folder / case["path"]
    return next(iter(sorted(path.iterdir()))) if path.is_dir() else path


def install(scanner: Scanner) -> None:
    """Make the scanner's environment, if it is not there."""
    place = CACHE / scanner.name
    if not (place / "bin" / scanner.command).exists():
        venv.create(place, with_pip=True)
    requirement = f"{scanner.name}=={scanner.version}"
    subprocess.run(
        [place / "bin/pip", "install", "-q", "--disable-pip-version-check", requirement],
        check=True,
    )


def run_one(scanner: Scanner, folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Return what a scanner says of a case: its findings, and the seconds that it took."""
    command = [CACHE / scanner.name / "bin" / scanner.command, *scanner.arguments]
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*command, file_of(folder, case)], check=False, capture_output=True, text=True,
            timeout=_TIMEOUT_S, env=os.environ | _QUIET, cwd=tempfile.gettempdir(),
            errors="replace", stdin=subprocess.DEVNULL,
        )  # fmt: skip
        found = scanner.findings(done.returncode, done.stdout)
    except subprocess.TimeoutExpired:
        found = {"timeout"}
    return {"found": sorted(found), "seconds": round(time.monotonic() - began, 3)}


def run_corral(folder: Path, cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what `corral scan` says of cases, by one launcher."""
    from corral.admission.scan.runner import scan_files
    from corral.admission.scan.siblings import with_siblings
    from corral.cli.job_unsafe import job_launcher
    from corral.core.config import DEGRADABLE, Config
    from corral.core.home import Home
    from corral.doctor.survey import survey_host
    from corral.tenancy.setup import prepare_home

    missing = {f.name for f in survey_host(Config()).facts if f.blocks} & set(DEGRADABLE)
    settings: dict[str, object] = {"sandbox.allow_degraded": tuple(missing)}
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place) / "home")
        prepare_home(home)
        with job_launcher(home, settings) as launcher:
            for case in cases:
                began = time.monotonic()
                draft = case["reason"] == "draft_vocab"
                file = completed(file_of(folder, case), folder, Path(place))
                report = scan_files(
                    with_siblings(file), home=home, config=Config(),
                    launcher=launcher, companion="target" if draft else "",
                    model=folder / f"{CONTROL}.gguf" if draft else None,
                ).report  # fmt: skip
                found = [f.code for f in report.findings if f.severity != "info"]
                results[case["id"]] = {
                    "found": found, "verdict": report.verdict,
                    "seconds": round(time.monotonic() - began, 3),
                }  # fmt: skip
    return results


def completed(first: Path, cases: Path, place: Path) -> Path:
    """Return the first part of a set that is whole.

    The case of a sound set lies there without its second part; both are the sound model's, split.
    """
    from tests.support.gguf_split import split_gguf

    if first.parent.name != SPLIT:
        return first
    parts = split_gguf((cases / f"{CONTROL}.gguf").read_bytes(), 2)
    if parts[0] != first.read_bytes():
        raise SystemExit(f"{first} is not the first half of {CONTROL}")
    for number, part in enumerate(parts, 1):
        (place / f"m-{number:05d}-of-00002.gguf").write_bytes(part)
    return place / first.name


def load(name: str) -> dict[str, Any]:
    """Return what is known of one scanner."""
    path = CACHE / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def save(name: str, known: dict[str, Any]) -> None:
    """Keep what is known of one scanner."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / f"{name}.json").write_text(json.dumps(known, indent=1))


def is_hit(name: str, case: dict[str, Any], results: dict[str, Any]) -> bool:
    """Return whether a scanner says more of a case than of its control."""
    said = set(results[name][case["id"]]["found"])
    control = _CONTROLS.get(case["id"][4:8], CONTROL)
    return bool(said) if name == "corral" else bool(said - set(results[name][control]["found"]))


def page(cases: list[dict[str, Any]], results: dict[str, Any]) -> str:
    """Return the page."""
    hostile = [case for case in cases if case["want"] != "accept"]
    sound = [case for case in cases if case["want"] == "accept"]
    return "\n".join([*_head(cases, results), *_families(hostile, sound, results),
                      *_each(hostile, results), ""])  # fmt: skip


def _head(cases: list[dict[str, Any]], results: dict[str, Any]) -> Iterator[str]:
    right = [
        case for case in cases
        if results["corral"][case["id"]]["verdict"] == case["want"]
        and (case["want"] == "accept" or case["reason"] in results["corral"][case["id"]]["found"])
    ]  # fmt: skip
    wrong = [case["id"] for case in cases if case not in right]
    yield "# Scanners compared"
    yield ""
    yield (
        f"Written by `scripts/compare_scanners.py`: {len(cases)} files of one case each, through"
        " `corral scan` (each in a jail) and through scanners from PyPI, each in an environment of"
        " its own. A hit is something that a scanner says of a hostile file and not of the sound"
        " file that it is like. Whether what it says is to the point is judged for corral alone:"
        f" {len(right)} of {len(cases)} files have the verdict and the code that they should have"
        + (f"; not {', '.join(wrong)}." if wrong else ".")
    )
    yield ""


def _families(
    hostile: list[dict[str, Any]], sound: list[dict[str, Any]], results: dict[str, Any]
) -> Iterator[str]:
    columns = [*FAMILIES, "all"]
    labels = " | ".join(
        f"{FAMILIES[c]} {sum(k['id'][0] == c for k in hostile)}" if c in FAMILIES else
        f"all {len(hostile)}" for c in columns
    )  # fmt: skip
    yield f"| scanner | {labels} | refused of {len(sound)} sound | median s |"
    yield "|---" * (len(columns) + 3) + "|"
    versions = {one.name: one.version for one in SCANNERS}
    for name in names():
        hits = [case["id"] for case in hostile if is_hit(name, case, results)]
        cells = [str(sum(c in {h[0], "all"} for h in hits)) for c in columns]
        refused = sum(is_hit(name, case, results) for case in sound)
        seconds = statistics.median(one["seconds"] for one in results[name].values())
        title = f"{name} {versions[name]}" if name in versions else f"**{name}**"
        yield f"| {title} | {' | '.join(cells)} | {refused} | {seconds:.2f} |"
    yield ""
    yield (
        "Times are wall-clock on a busy machine with two cores, start of the program included; for"
        " corral the start of a jail. H01 is a set whose second file is missing in the data: corral"
        " is shown the sound model split in two, whose first half is that file to the byte."
    )
    yield ""


def _each(hostile: list[dict[str, Any]], results: dict[str, Any]) -> Iterator[str]:
    yield "## Each hostile file"
    yield ""
    yield f"| file | corral says | {' | '.join(one.name for one in SCANNERS)} |"
    yield "|---" * (len(SCANNERS) + 2) + "|"
    for case in hostile:
        said = results["corral"][case["id"]]["found"]
        code = case["reason"] if case["reason"] in said else (said or ["nothing"])[0]
        cells = ["x" if is_hit(one.name, case, results) else "" for one in SCANNERS]
        yield f"| {case['id']} | `{code}` | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
