"""Facts about OCI runtimes: which are here, which will be used, and their known flaws.

Trust: operator side. Input: the operator's configuration, the runtimes' own words, dpkg's files.
"""

from __future__ import annotations

from corral.core.config import Config
from corral.core.errors import SandboxError
from corral.doctor.advisories import flaws_fact, judge, load_advisories
from corral.doctor.fact import Fact, Flaw
from corral.doctor.files import HostFiles
from corral.doctor.packages import package_of
from corral.doctor.runtimes_unsafe import read_versions
from corral.sandbox.runtimes import RUNTIME_NAMES, choose_runtimes, find_runtime, tier_of


def chosen(config: Config) -> Fact:
    """Return which runtimes will hold models of each trust level."""
    try:
        engines = choose_runtimes(config.sandbox, config.tier_by_trust)
        find_runtime("namespaces", "auto")
    except SandboxError as error:
        return Fact("runtime", "absent", error.message, error.remedy, needed=True)
    by_runtime: dict[str, list[str]] = {}
    for trust, runtime in engines.items():
        own_id = runtime.rootless and runtime.tier == "gvisor"
        note = ", its sentry with this user's own id" if own_id else ""
        by_runtime.setdefault(f"{runtime.name} (tier {runtime.tier}{note})", []).append(trust)
    if len(by_runtime) == 1:
        return Fact("runtime", "enforced", next(iter(by_runtime)), needed=True)
    told = "; ".join(f"{', '.join(trusts)}: {name}" for name, trusts in by_runtime.items())
    return Fact("runtime", "enforced", told, needed=True)


def installed(files: HostFiles) -> tuple[tuple[Fact, ...], tuple[Flaw, ...]]:
    """Return two facts for each runtime that corral can drive, and the flaws of those here."""
    facts: list[Fact] = []
    flaws: list[Flaw] = []
    advisories = load_advisories()
    found: dict[str, str] = {}
    for name in RUNTIME_NAMES:
        try:
            found[name] = find_runtime(tier_of(name), name).path
        except SandboxError as error:
            facts.append(Fact(f"runtime-{name}", "absent", error.message, error.remedy))
    versions = read_versions(tuple(found.values()))
    for name, path in found.items():
        version = versions[path]
        package = package_of(files, name, path)
        owner = f"package {package.name} {package.version}" if package else "of no package"
        facts.append(Fact(f"runtime-{name}", "host-owned", f"{version} ({path}, {owner})"))
        of_this = judge(advisories.of(name), version, package)
        facts.append(flaws_fact(name, of_this))
        flaws += of_this
    return tuple(facts), tuple(flaws)
