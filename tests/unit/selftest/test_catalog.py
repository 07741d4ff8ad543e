"""The catalog and the program know the same probes; the data is complete and strict."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.selftest.catalog import SEALED, ZONES, load_catalog, parse_probe
from corral.selftest.probes import program
from corral.selftest.probes.registry import ALONE, LAST, PROBES, ordered

ROOT = Path(__file__).parents[3]
SCENARIOS = {
    "kubernetes-rbac", "kubectl-cp", "crio-sysctl", "route-localnet",
    "privileged", "docker-socket", "host-path", "cap-sys-admin", "cap-sys-module",
    "cap-dac-read-search", "runc-2019-5736", "runc-2024-21626",
    "pid-namespace", "release-agent", "ebpf", "dirty-cow", "dirty-pipe", "packet-socket",
}  # fmt: skip
GOOD = {"title": "t", "walls": ["w"], "expect": ["EPERM"]}


@pytest.mark.claim("ESC-01")
def test_at_least_70_probes_and_each_is_programmed() -> None:
    catalog = load_catalog()
    assert program.main
    assert {p.id for p in catalog.values() if not p.look} == set(PROBES)
    assert {p.id for p in catalog.values() if p.alone} == ALONE
    assert {p.id for p in catalog.values() if p.last} == set(LAST)
    assert len([p for p in catalog.values() if "engine" in p.only]) >= 70


@pytest.mark.claim("ESC-03")
def test_each_scenario_of_sandbox_escape_bench_has_a_probe_and_a_row() -> None:
    assert len(SCENARIOS) == 18
    assert {p.scenario for p in load_catalog().values() if p.scenario} == SCENARIOS
    text = (ROOT / "docs" / "escape-scenarios.md").read_text(encoding="utf-8")
    for scenario in SCENARIOS:
        assert f"`{scenario}`" in text


def test_every_probe_says_what_stops_it_in_each_zone() -> None:
    for probe in load_catalog().values():
        assert probe.title
        assert probe.walls
        assert probe.expect
        assert set(probe.only) <= {*ZONES, SEALED}
        assert not set(probe.may) & set(probe.zones), probe.id


@pytest.mark.parametrize(
    "table",
    [GOOD | {"expects": []}, {"title": "t", "walls": []}, GOOD | {"gvisor_abesnt": "why"}],
)
def test_a_misspelt_or_missing_field_is_an_error(table: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"a\.b"):
        parse_probe("a.b", "files", table)
    assert parse_probe("a.b", "files", dict(GOOD)).expect == ("EPERM",)


def test_what_may_end_the_process_runs_last_or_alone() -> None:
    together = [name for name, _ in ordered("")]
    assert together[-len(LAST) :] == LAST
    assert not set(together) & ALONE
    assert [name for name, _ in ordered("stream.flood")] == ["stream.flood"]
