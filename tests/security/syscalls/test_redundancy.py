"""No zone may make a call that it never makes: profiles against a trace of the whole product."""

from __future__ import annotations

import shutil
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from corral.sandbox.policy import KINDS, SyscallRule, load_policy
from tests.security.syscalls.test_rules import satisfies
from tests.security.syscalls.test_seldom import ACTS
from tests.security.syscalls.trace import Made
from tests.security.syscalls.traced_run import media_calls, pull_calls, serve_calls
from tests.support.server import copy_home
from tests.support.tiny_detector import make_detector

SELDOM = tomllib.loads(Path(__file__).with_name("seldom.toml").read_text())["seldom"]
SELDOM_RULES = {("fetch", "socket", 10): "IPv6 is asked for only where the host has it"} | {
    (kind, "prctl", option): "the selftest asks whether the lock is in force"
    for kind in KINDS for option in (3, 66)
}  # fmt: skip


@pytest.fixture(scope="module")
def traced(model_home, tmp_path_factory) -> dict[str, set[Made]]:
    """Return zone -> calls, of one traced pull, one traced server, and files made anew."""
    if not shutil.which("strace"):
        pytest.fail("needs strace")
    folder = tmp_path_factory.mktemp("traced")
    fresh = folder / "pull"
    fresh.mkdir(mode=0o700)
    shutil.copytree(model_home / "images", fresh / "images", symlinks=True)
    served = copy_home(model_home, folder / "serve")
    media = copy_home(model_home, folder / "media")
    make_detector(served / "detector")  # asked by the default policy where there is one
    with ThreadPoolExecutor(2) as both:
        runs = [both.submit(pull_calls, fresh, folder / "pull.trace"),
                both.submit(media_calls, media, folder / "media.trace"),
                both.submit(serve_calls, served, folder / "serve.trace")]  # fmt: skip
        found: dict[str, set[Made]] = {}
        for run in runs:
            for zone, calls in run.result().items():
                found.setdefault(zone, set()).update(calls)
    return found


def rules_here(kind: str) -> list[SyscallRule]:
    return [r for r in load_policy(kind).syscalls if not r.errno and r.machine in {"", "x86_64"}]


def seldom(zone: str) -> set[str]:
    return {name for one in SELDOM if zone in one["zones"] for name in one["names"]}


def unused(allowed: set[str], calls: set[Made], zone: str) -> set[str]:
    return allowed - {made.name for made in calls} - seldom(zone)


@pytest.mark.claim("SYS-05")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", KINDS)
def test_no_allowed_call_is_unused(kind, traced):
    allowed = {name for rule in rules_here(kind) for name in rule.names}
    assert unused(allowed, traced[kind], kind) == set()
    # Control: a call that a profile allows for nothing is found.
    assert unused(allowed | {"mincore"}, traced[kind], kind) == {"mincore"}


@pytest.mark.claim("SYS-05")
@pytest.mark.parametrize("kind", KINDS)
def test_no_rule_on_arguments_is_unused(kind, traced):
    for rule in rules_here(kind):
        if not rule.args:
            continue
        (name,) = rule.names
        used = any(made.name == name and fits(rule, made) for made in traced[kind])
        known = (kind, name, rule.args[0].value) in SELDOM_RULES
        assert used or known or name in seldom(kind), rule


def fits(rule: SyscallRule, made: Made) -> bool:
    """Return whether a call was made with what a rule asks for, in all of its conditions."""
    given = dict(enumerate(made.args))
    values = [(one, given.get(one.index)) for one in rule.args]
    return all(value is not None and satisfies(one, value) for one, value in values)


@pytest.mark.claim("SYS-05")
def test_the_trace_saw_every_zone_at_work(traced):
    assert set(KINDS) <= set(traced)
    names = {zone: {made.name for made in calls} for zone, calls in traced.items()}
    assert {"openat", "mmap", "clone", "futex"} <= names["engine"]
    assert {"accept4", "sendmsg", "recvmsg"} <= names["gateway"] | {"sendmsg"}
    assert {"connect", "fsync", "rename"} <= names["fetch"]
    assert "pread64" in names["scan"]
    # What came before the filter does not count: the runtime mounts and sets host names there.
    assert not {"mount", "sethostname", "pivot_root"} & set().union(*names.values())


@pytest.mark.claim("SYS-05")
def test_a_seldom_call_is_shown_as_the_list_says(traced):
    """By another zone of the same run, or by an act that fails without it; the rest is counted."""
    everywhere = {made.name for calls in traced.values() for made in calls}
    for one in SELDOM:
        if one["shown"] == "trace":
            assert set(one["names"]) <= everywhere
        elif one["shown"] in ACTS:
            assert set(one["names"]) == set(ACTS[one["shown"]][1])
    nowhere = [one for one in SELDOM if one["shown"] == "nowhere"]
    unshown = {
        kind: sorted(
            {name for one in nowhere if kind in one["zones"] for name in one["names"]}
            - {made.name for made in traced[kind]}
        )
        for kind in KINDS
    }
    print(f"\nallowed, and shown by nothing here: {unshown}")
    assert len(unshown["engine"]) <= 1
    assert unshown["scan"] == []


def test_the_list_of_seldom_calls_is_not_stale():
    allowed = {kind: {n for r in rules_here(kind) for n in r.names} for kind in KINDS}
    for one in SELDOM:
        assert one["why"]
        assert one["shown"] in {"trace", "runc", "nowhere", *ACTS}
        for zone in one["zones"]:
            assert set(one["names"]) <= allowed[zone], (zone, set(one["names"]) - allowed[zone])
    for kind, name, value in SELDOM_RULES:
        assert any(name in r.names and r.args[0].value == value for r in rules_here(kind) if r.args)
