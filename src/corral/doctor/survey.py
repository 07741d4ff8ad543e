"""All facts about this host, in the order in which they are shown.

Trust: operator side. Input: the operator's configuration; everything else is read from the host.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable
from dataclasses import replace

from corral.core.config import Config
from corral.doctor import clock, devices, energy, kernel, memory, processor, resources, runtimes
from corral.doctor.advisories import age_fact, load_advisories
from corral.doctor.fact import Fact, Report
from corral.doctor.files import HostFiles
from corral.doctor.isolation import strict_points


def survey_host(
    config: Config, files: HostFiles | None = None, *, more: Iterable[Fact] = ()
) -> Report:
    """Return what this host can enforce under a configuration.

    Args:
        config: which runtimes and tiers are wanted, and which absent walls were accepted.
        files: the host's file tree; default: this host's.
        more: facts of what this package knows nothing of, shown last.
    """
    tree = files or HostFiles()
    found, flaws = runtimes.installed(tree)
    facts: tuple[Fact, ...] = (
        kernel.kernel(),
        kernel.namespaces(tree),
        kernel.nested_userns(tree),
        kernel.seccomp(tree),
        kernel.landlock(),
        kernel.mdwe(),
        resources.cgroup(tree),
        memory.core_dumps(tree),
        runtimes.chosen(config),
        *found,
        age_fact(load_advisories().updated, datetime.datetime.now(datetime.UTC).date()),
        memory.ksm(tree),
        memory.swap(tree),
        processor.smt(tree),
        processor.core_scheduling(),
        processor.speculation(tree),
        processor.speculation_controls(),
        kernel.ptrace_scope(tree),
        clock.clock(),
        clock.entropy(tree),
        devices.accelerators(tree),
        energy.energy(tree),
        resources.verity(tree),
        *more,
    )
    strict = strict_points(config)
    facts = (*(strict.pop(fact.name, fact) for fact in facts), *strict.values())
    accepted = config.sandbox.allow_degraded
    return Report(
        facts=tuple(_accepted(fact, accepted) for fact in facts),
        flaws=flaws,
        probed_at=int(time.time()),
        waived=tuple(sorted(set(accepted) - {fact.name for fact in facts})),
    )


def _accepted(fact: Fact, names: tuple[str, ...]) -> Fact:
    return replace(fact, accepted=fact.state == "absent" and fact.name in names)
