"""All advisories: the shipped records, and those that the operator put into `HOME/advisories`.

Trust: operator side. Input: files of the operator's state folder. A file that cannot be read as a
record is an error, and no model is admitted while it is there: it may be the one that matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from corral.advisories.record import RECORD_BYTES, Advisory, parse_advisory
from corral.core.errors import CorralError
from corral.core.home import Home

_RECORDS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Advisories:
    """Records by id, and what of a model they call bad.

    Attributes:
        digests: advisory by sha256 of a model file or wheel.
        signers: advisory by fingerprint of a key.
    """

    records: Mapping[str, Advisory]
    digests: Mapping[str, Advisory]
    signers: Mapping[str, Advisory]

    @classmethod
    def of(cls, records: Iterable[Advisory]) -> Advisories:
        """Return the records; of two with the same id the one that was modified last counts."""
        latest: dict[str, Advisory] = {}
        for record in records:
            known = latest.get(record.id)
            if known is None or known.modified < record.modified:
                latest[record.id] = record
        valid = [record for record in latest.values() if record.withdrawn is None]
        return cls(
            records=latest,
            digests={digest: r for r in valid for digest in r.corral.digests},
            signers={signer: r for r in valid for signer in r.corral.signers},
        )

    def about(self, digests: Iterable[str], signers: Iterable[str] = ()) -> Advisory | None:
        """Return an advisory that calls one of these bad, or None."""
        found = [self.digests[digest] for digest in digests if digest in self.digests]
        found += [self.signers[signer] for signer in signers if signer in self.signers]
        return found[0] if found else None


@cache
def shipped_records() -> tuple[Advisory, ...]:
    """Return the records that come with corral."""
    folder = resources.files("corral.advisories") / "records"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
    return tuple(parse_advisory((folder / name).read_bytes(), name) for name in names)


def load_advisories(home: Home) -> Advisories:
    """Return the shipped records and those of the state folder.

    Raises:
        CorralError: codes `advisory_malformed`, `advisory_unreadable`.
    """
    return Advisories.of((*shipped_records(), *_local_records(home)))


def _local_records(home: Home) -> Iterable[Advisory]:
    try:
        paths = sorted(home.advisories.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable() from error
    if len(paths) > _RECORDS:
        raise _unreadable()
    for path in paths:
        if path.suffix != ".json":
            continue
        try:
            with path.open("rb") as file:
                raw = file.read(RECORD_BYTES + 1)
        except OSError as error:
            raise _unreadable() from error
        yield parse_advisory(raw, path.name)


def _unreadable() -> CorralError:
    return CorralError(
        "advisory_unreadable",
        "the advisories of the state folder cannot be read",
        remedy="look at the folder advisories in the state folder; until then no model is admitted",
    )
