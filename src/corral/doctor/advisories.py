"""The shipped list of known flaws of OCI runtimes, and which of them a version here has.

Trust: operator side. Input: our own `advisories.toml`; versions that the host prints.
"""

from __future__ import annotations

import datetime
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from corral.doctor.fact import Fact, Flaw
from corral.doctor.packages import Package
from corral.doctor.version import debian_at_least, has_fix, parse_upstream

STALE_DAYS = 180
"""After half a year without an update the list no longer says much."""


@dataclass(frozen=True, slots=True)
class Advisory:
    """One row of the list; the file's head explains the fields."""

    id: str
    runtime: str
    title: str
    fixed_in: tuple[str, ...]
    distributions: dict[str, str]
    reached: bool
    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class Advisories:
    """The whole list.

    Attributes:
        updated: day on which somebody last looked through the sources.
    """

    updated: datetime.date
    rows: tuple[Advisory, ...]

    def of(self, runtime: str) -> tuple[Advisory, ...]:
        """Return the rows about one runtime."""
        return tuple(row for row in self.rows if row.runtime == runtime)


@cache
def load_advisories() -> Advisories:
    """Read the shipped list.

    Raises:
        ValueError: the file is malformed; an unknown or missing field is an error.
    """
    text = resources.files("corral.doctor").joinpath("advisories.toml").read_text(encoding="utf-8")
    return parse_advisories(tomllib.loads(text))


def parse_advisories(document: dict[str, Any]) -> Advisories:
    """Turn the list's document into values.

    Raises:
        ValueError: a row has an unknown or a missing field, or a version that cannot be read.
    """
    try:
        rows = tuple(
            Advisory(**{"distributions": {}, **row, "fixed_in": tuple(row["fixed_in"])})
            for row in document["advisory"]
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"advisories.toml is malformed: {error}") from error
    for row in rows:
        if not row.fixed_in or any(parse_upstream(v) is None for v in row.fixed_in):
            raise ValueError(f"advisories.toml: {row.id} names no version with the fix")
    return Advisories(document["updated"], rows)


def judge(
    advisories: tuple[Advisory, ...], version_text: str, package: Package | None
) -> tuple[Flaw, ...]:
    """Return what each advisory means for an installed runtime.

    Args:
        advisories: of this runtime.
        version_text: what the runtime says of its version; if it cannot be read, all are open.
        package: what owns the program, if a package does.
    """
    version = parse_upstream(version_text)
    found = []
    for row in advisories:
        fixes = [fix for fix in map(parse_upstream, row.fixed_in) if fix]
        status: Any = "open"
        if version is not None and has_fix(version, fixes):
            status = "fixed"
        elif package is not None:
            first = row.distributions.get(package.distribution)
            if first and debian_at_least(package.version, first):
                status = "fixed-by-distribution"
        found.append(
            Flaw(
                id=row.id,
                runtime=row.runtime,
                status=status,
                title=row.title,
                fixed_in=row.fixed_in,
                reached=row.reached,
                meaning=row.meaning,
                source=row.source,
            )
        )
    return tuple(found)


def flaws_fact(runtime: str, flaws: tuple[Flaw, ...]) -> Fact:
    """Return the line about one runtime's flaws: absent if one that corral reaches is open."""
    name = f"flaws-{runtime}"
    opened = [flaw for flaw in flaws if flaw.status == "open"]
    reached = [flaw for flaw in opened if flaw.reached]
    fixed = sum(flaw.status == "fixed" for flaw in flaws)
    backported = len(flaws) - len(opened) - fixed
    counts = f"{len(flaws)} known: {fixed} fixed"
    if backported:
        counts += f", {backported} fixed by the distribution"
    if reached:
        named = "; ".join(f"{flaw.id}: {flaw.meaning}" for flaw in reached)
        newest = max(reached, key=lambda f: parse_upstream(f.fixed_in[-1]) or (0, 0, 0, 0))
        return Fact(
            name, "absent", f"{counts}; open: {named}",
            f"upgrade {runtime} to {newest.fixed_in[-1]} or later",
        )  # fmt: skip
    if opened:
        counts += f"; open, but not reached by corral: {', '.join(f.id for f in opened)}"
    return Fact(name, "enforced", counts)


def age_fact(updated: datetime.date, today: datetime.date) -> Fact:
    """Return whether the list is recent enough to say anything."""
    seen = f"as of {updated.isoformat()}"
    if (today - updated).days > STALE_DAYS:
        return Fact("flaws-list", "absent", f"{seen}: too old to rely on", "upgrade corral")
    return Fact("flaws-list", "enforced", seen)
