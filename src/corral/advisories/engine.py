"""Which build of llama.cpp the installed engine is, and what that means for an advisory.

Trust: operator side. Input: the installed package's library, which is only hashed: a wheel without
git says "build 0, commit unknown" of itself, so what it is stands in `engines.json` by digest. A
library that is not on the list is unknown, and counts as affected by everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Final, Literal

import msgspec

from corral.advisories.library_digest import library_digest
from corral.advisories.record import Advisory
from corral.core.errors import CorralError

_PACKAGE: Final = "xllamacpp"
_LIBRARY: Final = "xllamacpp/xllamacpp.abi3.so"

Status = Literal["fixed", "refused", "not-reached", "affected", "other-product", "withdrawn"]


class EngineBuild(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One library, by its digest.

    Attributes:
        library: path in the package.
        build: llama.cpp's build number.
        ggml: what the library says of its version of ggml.
        without: features that it was built without.
        source: how the build number is known.
    """

    sha256: str
    package: str
    version: str
    library: str
    platform: str
    build: int
    ggml: str
    without: tuple[str, ...]
    source: str


UNUSED: Final = frozenset({"slot-save", "sleep", "chat-parser", "n-discard", "grammar", "tools"})
"""Features of the engine that corral's driver switches off or never asks for."""


@dataclass(frozen=True, slots=True)
class InstalledEngine:
    """The engine that is installed.

    Attributes:
        version: of the package; empty if it is not installed.
        sha256: of its library; empty if there is none.
        build: what the list says of the library; None: unknown.
    """

    version: str
    sha256: str
    build: EngineBuild | None


@cache
def known_engines() -> tuple[EngineBuild, ...]:
    """Return the list of known libraries."""
    text = (resources.files("corral.advisories") / "engines.json").read_bytes()
    return msgspec.json.decode(text, type=tuple[EngineBuild, ...])


def installed_engine(note: Path | None = None) -> InstalledEngine:
    """Hash the installed engine's library and look it up.

    Args:
        note: where its digest is noted for the next time (`library_digest`).
    """
    try:
        package = metadata.distribution(_PACKAGE)
        digest = library_digest(str(package.locate_file(_LIBRARY)), note)
    except metadata.PackageNotFoundError:
        return InstalledEngine("", "", None)
    except OSError:
        return InstalledEngine(package.version, "", None)
    known = next((one for one in known_engines() if one.sha256 == digest), None)
    return InstalledEngine(package.version, digest, known)


def engine_refusal(
    engine: InstalledEngine, known: Iterable[Advisory], accepted: Collection[str]
) -> CorralError | None:
    """Return why no model may be given to an engine, or None.

    Args:
        engine: that is installed.
        known: advisories in force.
        accepted: of `sandbox.allow_degraded`: `engine-unknown`, `engine-vulnerable`.
    """
    if engine.build is None:
        if "engine-unknown" in accepted:
            return None
        return CorralError(
            "engine_unknown",
            "the installed engine is none of the builds whose flaws are known here",
            remedy="install the engine that corral pins, or upgrade corral; to go on with any "
            "flaw that it may have: --allow-degraded=engine-unknown",
        )
    open_ = sorted(one.id for one in known if judge(one, engine.build) == "affected")
    if not open_ or "engine-vulnerable" in accepted:
        return None
    return CorralError(
        "engine_vulnerable",
        f"the installed engine has flaws that nothing here stops: {', '.join(open_[:8])}",
        remedy="upgrade corral and its engine; to go on all the same: "
        "--allow-degraded=engine-vulnerable",
    )


def judge(advisory: Advisory, engine: EngineBuild | None) -> Status:
    """Return what an advisory means for an engine.

    `refused`: affected, but the scanner refuses every file that has what the flaw needs.
    `not-reached`: affected, but the part is not built or never used, or something else is said.
    """
    if advisory.withdrawn is not None:
        return "withdrawn"
    if not advisory.concerns_engine:
        return "other-product"
    if engine is not None and not advisory.affects_build(engine.build):
        return "fixed"
    extension = advisory.corral
    lacking = set(engine.without) if engine is not None else set()
    if extension.feature and extension.feature in UNUSED | lacking:
        return "not-reached"
    if extension.constructs:
        return "refused"
    return "affected"
