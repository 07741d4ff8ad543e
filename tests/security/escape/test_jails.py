"""`corral selftest --full`, run for real, once: every attack in every zone's jail, and outside.

The tests look at parts of the one document, runtime by runtime. A line counts only if its control
worked (`verdict`): none may be red, none invalid.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from corral.selftest.catalog import Probe, load_catalog
from corral.selftest.verdict import Verdict
from tests.support.server import copy_home

RUNTIMES = ("crun", "runc", "runsc")
FILES = ("files.", "proc.", "sys.", "dev.", "inherit.root")
WRITES = ("write.", "links.", "mount.root", "mount.writable", "files.set-id")
SECONDS = 400
pytestmark = pytest.mark.timeout(SECONDS + 100)


@dataclass(frozen=True)
class Line:
    """One line of the document, with its probe as the catalog has it."""

    probe: Probe
    zone: str
    tier: str
    outcome: str
    control: str
    verdict: Verdict
    reason: str


Part = Callable[[str, tuple[str, ...]], list[Line]]


@pytest.fixture(scope="module")
def document(
    model_home: Path, tmp_path_factory: pytest.TempPathFactory, needs_runtime: Callable[[str], None]
) -> dict[str, Any]:
    """What the command prints and how it ends; its runtimes are those that this host has."""
    for name in RUNTIMES:
        needs_runtime(name)
    home = copy_home(model_home, tmp_path_factory.mktemp("selftest") / "home")
    (home / "detector").mkdir()  # that there is one makes its zone
    ended = subprocess.run(
        [sys.executable, "-m", "corral", "selftest", "--full", "--json", "--home", str(home)],
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(ended.stdout)
    print(f"\ncorral selftest --full: {len(found['lines'])} lines, {found['counts']}")
    return found | {"code": ended.returncode, "errors": ended.stderr}


@pytest.fixture(scope="module", params=RUNTIMES)
def lines(request: pytest.FixtureRequest, document: dict[str, Any]) -> list[Line]:
    catalog = load_catalog()
    return [
        Line(
            probe=catalog[line["probe"]], zone=line["zone"], tier=line["tier"],
            outcome=line["outcome"], control=line["control"], verdict=Verdict(line["verdict"]),
            reason=line["reason"],
        )
        for line in document["lines"] if line["runtime"] == request.param
    ]  # fmt: skip


@pytest.mark.claim("ESC-01", "ESC-02")
def test_the_command_says_that_it_passed(document: dict[str, Any]) -> None:
    assert document["counts"]["red"] == 0
    assert document["counts"]["invalid"] == 0
    assert (document["code"], document["passed"], document["mode"]) == (0, True, "full")
    assert {line["runtime"] for line in document["lines"]} == set(RUNTIMES)


@pytest.fixture
def part(lines: list[Line]) -> Part:
    def choose(zone: str, prefixes: tuple[str, ...]) -> list[Line]:
        found = [li for li in lines if li.zone == zone and li.probe.id.startswith(prefixes)]
        assert found
        return found

    return choose


def proved(lines: list[Line], *, at_least: int = 1) -> None:
    """Demand that no line is red or invalid, and that enough of them are green."""
    bad = {li.probe.id: (li.outcome, li.control, li.reason) for li in lines
           if li.verdict in {Verdict.RED, Verdict.INVALID}}  # fmt: skip
    assert bad == {}
    assert len([li for li in lines if li.verdict is Verdict.GREEN]) >= at_least


@pytest.mark.claim("ESC-01", "ESC-02")
def test_nothing_gets_through_and_every_line_has_its_control(lines: list[Line]) -> None:
    bad = {(li.zone, li.probe.id): (li.outcome, li.control, li.reason) for li in lines
           if li.verdict in {Verdict.RED, Verdict.INVALID}}  # fmt: skip
    assert bad == {}
    engine = [li for li in lines if li.zone == "engine" and li.verdict is Verdict.GREEN]
    assert len(engine) >= 130
    absent = {li.probe.id for li in lines if li.verdict is Verdict.ABSENT}
    assert all(li.reason for li in lines if li.probe.id in absent and li.verdict is Verdict.ABSENT)
    if lines[0].tier == "namespaces":
        assert len(absent) <= 12  # only what this host's kernel has not


@pytest.mark.claim("ESC-06")
def test_each_zone_may_do_exactly_what_its_data_says(lines: list[Line]) -> None:
    allowed: dict[str, set[str]] = {}
    for line in lines:
        if line.verdict is Verdict.ALLOWED:
            allowed.setdefault(line.zone, set()).add(line.probe.id.split(".")[0])
    zones = {
        "engine": {"files"}, "scan": {"files"}, "guard": {"files"},
        "media": {"files", "write"},
        "gateway": {"files", "write"},
        "fetch": {"files", "net", "namespace", "write"},
    }  # fmt: skip
    if lines[0].tier == "gvisor":
        zones = {zone: {"files"} for zone in ("engine", "scan", "guard")} | {
            "media": {"files", "write"}
        }
    assert allowed == zones


@pytest.mark.claim("ESC-09")
def test_a_sealed_worker_can_do_none_of_it(lines: list[Line]) -> None:
    sealed = [li for li in lines if li.zone == "sealed"]
    assert len(sealed) >= 100
    proved(sealed, at_least=95)
    (image,) = [li for li in sealed if li.probe.id == "files.image"]
    before = [li for li in lines if li.zone == "engine" and li.probe.id == "files.image"]
    assert (image.outcome, before[0].outcome) == ("EPERM", "ok")  # control: before the seal


@pytest.mark.claim("SBX-01")
def test_forbidden_system_calls_are_refused(part: Part) -> None:
    proved(part("engine", ("kernel.", "mount.", "process.", "namespace.un", "privilege.set")),
           at_least=60)  # fmt: skip


@pytest.mark.claim("SBX-02")
def test_no_network_socket_can_be_made(part: Part) -> None:
    proved(part("engine", ("net.",)), at_least=12)


@pytest.mark.claim("SBX-03")
def test_no_file_but_the_image_and_the_model_can_be_read(part: Part) -> None:
    proved(part("engine", FILES), at_least=15)
    proved(part("scan", FILES), at_least=15)
    proved(part("guard", FILES), at_least=15)
    proved(part("media", FILES), at_least=15)


@pytest.mark.claim("SBX-04")
def test_nothing_can_be_written(part: Part) -> None:
    proved(part("engine", WRITES), at_least=10)


@pytest.mark.claim("SBX-05")
def test_no_process_can_be_made_run_seen_or_signalled(part: Part) -> None:
    proved(part("engine", ("process.",)), at_least=20)


@pytest.mark.claim("SBX-06")
def test_memory_cannot_become_code(part: Part, lines: list[Line]) -> None:
    found = part("engine", ("memory.", "process.own-memory-file"))
    proved(found, at_least=2 if lines[0].tier == "gvisor" else 6)


@pytest.mark.claim("SBX-07")
def test_descriptors_environment_and_root_are_bare(part: Part) -> None:
    proved(part("engine", ("inherit.",)), at_least=6)


@pytest.mark.claim("NET-01")
def test_the_gateway_can_connect_to_nothing(part: Part, lines: list[Line]) -> None:
    if lines[0].tier == "gvisor":
        return  # the gateway runs under crun or runc there
    found = part("gateway", ("net.", "namespace.net"))
    proved(found, at_least=15)
    turned = [li for li in found if li.probe.id.startswith("net.fastopen")]
    assert [(li.outcome, li.control) for li in turned] == [("EPERM", "ok")] * 2


@pytest.mark.claim("NET-02")
def test_the_gateway_starts_no_process_and_sees_no_host_file(part: Part, lines: list[Line]) -> None:
    if lines[0].tier == "gvisor":
        return  # the gateway runs under crun or runc there
    proved(part("gateway", ("process.", *FILES, *WRITES)), at_least=50)


@pytest.mark.claim("ESC-07")
def test_code_cannot_be_changed_through_its_memory_file(part: Part) -> None:
    proved(part("engine", ("process.own-memory-file",)))
