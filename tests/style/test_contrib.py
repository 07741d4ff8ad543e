"""What contrib/ asks of Prometheus is what the server shows, by names, labels and their values."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from corral.gateway.metrics_page import FAMILIES, KINDS, STATES
from corral.telemetry.metrics import REJECTED, ROUTES, STAGES, TOKENS, TRACES_DROPPED, UNLOADED

ROOT = Path(__file__).parents[2]
CONTRIB = ROOT / "contrib"
CODES = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")))
CLOSED = {
    "route": {*ROUTES}, "code": {*CODES, "ok", "cancelled"}, "stage": {*STAGES},
    "kind": {*TOKENS, *KINDS}, "reason": {*REJECTED, *UNLOADED, *TRACES_DROPPED},
    "state": {*STATES}, "job": {"corral"},
}  # fmt: skip


def series() -> dict[str, tuple[str, ...]]:
    """Return each series on the page with its labels."""
    found = {}
    for one in FAMILIES:
        endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count")}
        for ending in endings[one.kind]:
            found[one.name + ending] = one.labels
    return found


def expressions() -> list[str]:
    dashboard = json.loads((CONTRIB / "grafana-dashboard.json").read_text(encoding="utf-8"))
    shown = [one["expr"] for panel in dashboard["panels"] for one in panel["targets"]]
    rules = (CONTRIB / "prometheus-alerts.yml").read_text(encoding="utf-8")
    alerts = re.findall(r"expr: (?:\|\n)?(.*?)\n +(?:for|labels):", rules, re.DOTALL)
    assert len(shown) > 20
    assert len(alerts) == rules.count("- alert:") > 10
    return [*shown, *alerts]


def mistakes(expression: str) -> list[str]:
    known = series()
    wrong = [
        name for name in re.findall(r"\bcorral_\w+", expression) if name not in known
    ]  # fmt: skip
    for name, chosen in re.findall(r"(\w+)\{([^}]*)\}", expression):
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', chosen):
            if name in known and label not in known[name]:
                wrong.append(f"{name}{{{label}}}")
            wrong += [one for one in values.split("|") if one not in CLOSED[label]]
    return wrong


def test_each_expression_asks_for_what_there_is() -> None:
    assert [wrong for one in expressions() for wrong in mistakes(one)] == []


def test_the_comparison_notices() -> None:
    assert mistakes('rate(corral_nothing_total{code="ok"}[5m])') == ["corral_nothing_total"]
    assert mistakes('corral_workers{code="ok"}') == ["corral_workers{code}"]
    assert mistakes('corral_workers{state="ready|gone"}') == ["gone"]


def test_every_family_is_on_the_dashboard_or_in_an_alert() -> None:
    asked = {name for one in expressions() for name in re.findall(r"\bcorral_\w+", one)}
    missing = [one.name for one in FAMILIES if not any(name.startswith(one.name) for name in asked)]
    assert missing == ["corral_build_info"]


def test_promtool_takes_the_rules_and_their_tests() -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    for words in (("check", "rules", "prometheus-alerts.yml"),
                  ("test", "rules", "prometheus-alerts-test.yml")):  # fmt: skip
        done = subprocess.run(
            ["promtool", *words], cwd=CONTRIB, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
