"""The opt-outs against models of kernels, and against the real one in a child."""

from __future__ import annotations

import pytest

from corral.jail import hardware_unsafe
from corral.jail.hardware_unsafe import (
    call_kernel,
    claim_core,
    core_scheduling_works,
    lock_hardware,
    opt_out,
)
from tests.support.children import in_child

GET_SPECULATION, SET_SPECULATION, SCHED_CORE, SET_MERGE, GET_MERGE = 52, 53, 62, 67, 68
ENABLED, PRCTL, DISABLED, FORCED = 2, 1, 4, 8


class Kernel:
    """A kernel that answers prctl(2).

    Args:
        merging: whether this process is merged; None where the kernel knows no such thing.
        speculation: state of each control; one with `PRCTL` can be changed by the process.
        cookies: it has core scheduling.
        deaf: it says yes to every change and changes nothing.
    """

    def __init__(
        self, *, merging: bool | None = True, speculation: tuple[int, int] = (3, 3),
        cookies: bool = False, deaf: bool = False,
    ) -> None:  # fmt: skip
        self.merging = merging
        self.speculation = list(speculation)
        self.cookies = cookies
        self.deaf = deaf
        self.claimed = False

    def __call__(self, option: int, first: int = 0, second: int = 0, *_: int) -> int:
        if option == GET_MERGE:
            return -1 if self.merging is None else int(self.merging)
        if option == GET_SPECULATION:
            return self.speculation[first]
        if option == SCHED_CORE:
            self.claimed |= self.cookies and first == 1
            return 0 if self.cookies else -1
        if self.deaf:
            return 0
        if option == SET_MERGE and self.merging is not None:
            self.merging = bool(first)
            return 0
        if option == SET_SPECULATION and self.speculation[first] in {3, 5, 9}:
            self.speculation[first] = PRCTL | second
            return 0
        return -1


def test_a_kernel_that_offers_all_of_it() -> None:
    kernel = Kernel()
    assert opt_out(kernel) == ()
    assert kernel.merging is False
    assert kernel.speculation == [PRCTL | FORCED, PRCTL | FORCED]


@pytest.mark.parametrize(
    ("kernel", "missing"),
    [
        (Kernel(merging=None), ()),
        (Kernel(speculation=(0, 0)), ()),
        (Kernel(speculation=(DISABLED, 0)), ()),
        (Kernel(speculation=(ENABLED, 3)), ("speculation",)),
        (Kernel(speculation=(3, ENABLED)), ("speculation",)),
        (Kernel(speculation=(3, -1)), ("speculation",)),
        (Kernel(deaf=True), ("ksm", "speculation")),
        (Kernel(deaf=True, speculation=(0, 0)), ("ksm",)),
    ],
)
def test_what_is_in_force_is_read_back(kernel: Kernel, missing: tuple[str, ...]) -> None:
    assert opt_out(kernel) == missing


@pytest.mark.claim("HW-02")
@pytest.mark.parametrize("required", ["ksm", "speculation"])
def test_a_required_point_that_is_missing_ends_the_process(required: str) -> None:
    with pytest.raises(OSError, match=required):
        lock_hardware(("", required), Kernel(deaf=True))
    lock_hardware((required,), Kernel())  # control: where the kernel obeys
    lock_hardware((), Kernel(deaf=True))  # control: where the level does not ask for it


def test_core_scheduling() -> None:
    kernel = Kernel(cookies=True)
    assert core_scheduling_works(kernel)
    assert not kernel.claimed
    claim_core(kernel)
    assert kernel.claimed
    assert not core_scheduling_works(Kernel())
    with pytest.raises(OSError, match="cookie"):
        claim_core(Kernel())


@pytest.mark.claim("HW-03")
def test_the_real_kernel_stops_merging_a_process() -> None:
    def look() -> str:
        before = call_kernel(SET_MERGE, 1), call_kernel(GET_MERGE)
        lock_hardware(("ksm",))
        return f"{before} {call_kernel(GET_MERGE)}"

    known = in_child(lambda: str(call_kernel(GET_MERGE)))
    if known == "-1":  # no KSM: nothing is merged, and the level may be had
        assert in_child(look) == "(-1, -1) -1"
    else:
        assert in_child(look) == "(0, 1) 0"  # control: it was merged before


def test_the_real_kernel_says_about_speculation_what_it_shows() -> None:
    def look() -> str:
        missing = "speculation" in hardware_unsafe.opt_out()
        with open("/proc/self/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        names = ("Speculation_Store_Bypass", "SpeculationIndirectBranch")
        shown = [fields[name].strip() for name in names]
        held = all("mitigated" in s or "not" in s or "disabled" in s for s in shown)
        return f"{missing} {held}"

    assert in_child(look) in {"True False", "False True"}
