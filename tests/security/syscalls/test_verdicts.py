"""What each zone may call, proved for every number from the filters of live processes."""

from __future__ import annotations

import random

import pytest

from tests.security.syscalls.bpf import ACTION_MASK, ALLOW, ERRNO, Call, combine, run
from tests.security.syscalls.kernel_verdicts import ALLOWED, UNFILTERED, kernel_verdicts
from tests.security.syscalls.live_zones import ENTRY_FILTERS, ZONES
from tests.security.syscalls.page import FOLDER, page
from tests.security.syscalls.verdicts import (
    ABIS,
    foreign_architectures,
    named_verdicts,
    numbers,
    ranges,
    reachable_names,
    verdict,
)

ARCH = ABIS["x86_64"][0]
INTERESTING = (0, 1, 2, 4, 10, 16, 0x5401, 0x5421, 0x5451, 0x10900, 0x3D0F00, 0x1_0000_0001,
               0x1_0001_0900, 0xFFFF_FFFF_FFFF_FFFF)  # fmt: skip


@pytest.mark.claim("SYS-01")
@pytest.mark.parametrize("zone", ZONES)
def test_the_page_of_each_zone_says_what_the_live_filters_say(zone, live_filters_of):
    text = page(zone, live_filters_of["crun"][zone], live_filters_of["runc"][zone])
    assert text == (FOLDER / f"{zone}.md").read_text(), "run `make verdicts` and review the diff"


@pytest.mark.claim("SEAL-02")
@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_a_sealed_worker_reaches_at_most_16_calls(runtime, live_filters_of):
    reached = {zone: reachable_names(live_filters_of[runtime][zone])
               for zone in ("engine", "engine-sealed")}  # fmt: skip
    sealed = sorted(reached["engine-sealed"])
    print(f"\n{runtime}: {len(sealed)} system calls after the seal: {', '.join(sealed)}")
    assert len(sealed) <= 16
    assert len(reached["engine"]) > 16  # control: the same count, before the seal


@pytest.mark.claim("SYS-02")
@pytest.mark.parametrize("runtime", ["crun", "runc"])
@pytest.mark.parametrize("zone", ZONES)
def test_no_other_calling_convention_reaches_anything(zone, runtime, live_filters_of):
    filters = live_filters_of[runtime][zone]
    for abi in ("i386", "x32"):
        assert not [row for row in ranges(abi, filters) if row[2][0].reachable]
    assert foreign_architectures(filters) == {"kill process"}
    # Control: the same code finds the calls that x86_64 may make.
    assert [row for row in ranges("x86_64", filters) if row[2][0].reachable]


@pytest.mark.claim("SYS-02")
@pytest.mark.parametrize("zone", ZONES)
def test_crun_and_runc_let_the_same_calls_through(zone, live_filters_of):
    crun, runc = (live_filters_of[name][zone] for name in ("crun", "runc"))
    for abi in ABIS:
        differ = [row for row in ranges(abi, crun, runc) if row[2][0] != row[2][1]]
        assert not [row for row in differ if row[2][0].reachable or row[2][1].reachable]


@pytest.mark.claim("SYS-03")
@pytest.mark.parametrize("runtime", ["crun", "runc"])
@pytest.mark.parametrize("zone", ZONES)
def test_kernel_emulator_and_table_agree(zone, runtime, live_filters_of):
    """The kernel judges every named number, with hostile arguments too, and no call is made."""
    filters = live_filters_of[runtime][zone]
    generator = random.Random(20)
    calls = [
        (number, tuple(generator.choice(INTERESTING) for _ in range(5)))
        for number in numbers("x86_64").keys() - UNFILTERED
        for _ in range(4)
    ]
    # Where arguments decide, each argument gets each value.
    calls += [
        (number, tuple(value if index == at else 0 for index in range(5)))
        for number, known in named_verdicts(filters, "x86_64").items()
        if known.cases
        for at in range(4)
        for value in INTERESTING
    ]
    answers = kernel_verdicts(filters, calls)
    seen = set()
    for (number, args), answer in zip(calls, answers, strict=True):
        result = combine([run(program, Call(ARCH, number, args)) for program in filters])
        allowed = result & ACTION_MASK == ALLOW
        assert answer == (ALLOWED if allowed else result & 0xFFFF), (number, args)
        assert allowed or result & ACTION_MASK == ERRNO
        known = verdict(filters, "x86_64", number)
        assert result in {known.result, *(r for _, r in known.cases)}
        if not known.cases:
            assert result == known.result
        seen.add(answer)
    assert {ALLOWED, 1} <= seen


@pytest.mark.parametrize("zone", ZONES)
def test_the_filters_are_those_of_the_runtime_and_of_the_jail_entry(zone, live_filters_of):
    for runtime in ("crun", "runc"):
        filters = live_filters_of[runtime][zone]
        assert len(filters) >= ENTRY_FILTERS
        # The jail entry's own filter alone: no exec, and no other architecture.
        entry = filters[-ENTRY_FILTERS]
        names = {n for n, v in named_verdicts([entry], "x86_64").items() if not v.reachable}
        assert {numbers("x86_64")[n] for n in names} == {"execve", "execveat"}
