"""`corral scan` as a person calls it: what it prints, and where; jails are in tests/e2e."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corral.admission.report import Finding, TemplateReport, make_report
from corral.cli.finding_table import show_report
from tests.support.command_line import Corral

FINDINGS = (
    Finding("unknown_key", "info", "no engine reads this key", "odd.key", 40, 20),
    Finding("nbytes_overflow", "reject", "a tensor is larger than any file", "w"),
    Finding("from_a_job_taken_over", "flag", "unheard of"),
)


def test_a_table_says_what_why_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(make_report(FINDINGS, None, "s", "adapter"))
    shown = capsys.readouterr()
    words = " ".join(shown.out.split())
    assert words.index("reject nbytes_overflow") < words.index("info unknown_key")
    assert "odd.key, bytes 40-60" in words
    assert "exabyte" in words, "why"
    assert "https://www.cve.org/CVERecord?id=CVE-2026-33298" in words
    assert "unheard of" in words
    assert "verdict: reject" in shown.err


def test_a_clean_file_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    template = TemplateReport("refused", nearest="llama-3", added=("{{ x }}",), missing=2)
    show_report(make_report((), None, "s", "adapter", template))
    shown = capsys.readouterr()
    assert "nothing found" in shown.err
    assert "most like llama-3" in shown.err
    assert "+ {{ x }}" in shown.err
    show_report(make_report((), None, "s", "adapter", TemplateReport("known", "chatml")))
    assert "chat template: known (chatml)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [(("--sarif", "--json"), "--sarif"), (("--output", "x"), "--output"),
     (("--fail-on", "all"), "--fail-on"), (("--base", "a", "--target", "b"), "--target")],
)  # fmt: skip
def test_options_that_do_not_go_together(
    corral: Corral, arguments: tuple[str, ...], wrong: str
) -> None:
    refused = corral("scan", "m.gguf", *arguments)
    assert refused.code == 2
    assert wrong in refused.err


def test_a_failed_scan_is_a_log_that_says_so(corral: Corral, tmp_path: Path) -> None:
    home = ("--home", str(tmp_path / "home"), "--tier", "none")
    failed = corral("scan", str(tmp_path / "m.gguf"), "--sarif", *home)
    assert failed.code == 2
    (run,) = failed.document["runs"]
    (said,) = run["invocations"][0]["toolExecutionNotifications"]
    assert said["descriptor"]["id"] in failed.err
    log = tmp_path / "log.sarif"
    again = corral("scan", str(tmp_path / "m.gguf"), "--sarif", "--output", str(log), *home)
    assert (again.code, again.out) == (2, "")
    assert json.loads(log.read_text())["runs"][0]["invocations"] == run["invocations"]
    nowhere = str(tmp_path / "no" / "log.sarif")
    assert corral("scan", "m.gguf", "--sarif", "--output", nowhere, *home).code == 2
