"""A small audit chain, and what an attacker does to its files."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corral.audit.appender import Appender, Rotation
from corral.audit.heads import Head
from corral.audit.record import Record, name_of, parse_line
from corral.audit.segments import list_segments, segment_file
from corral.audit.verify import ChainReport, verify_chain

NEVER = Rotation()


def event(kind: str = "begin", at_ms: int = 0, **fields: object) -> Record:
    return Record(chain="gateway", seq=0, prev="", at_ms=at_ms, kind=kind, **fields)  # type: ignore[arg-type]


BEGIN = event(
    id="req_1", tenant="acme", key="crl_abc", address="10.0.0.7", action="chat:create",
    model="tiny", sha256="ab" * 32, prompt="cd" * 32,
)  # fmt: skip
END = event("end", id="req_1", tenant="acme", action="chat:create", status=200, code="ok")
DENIED = event("request", id="req_2", address="::1", action="model:list", status=401, code="x")
MORE = event("more", tenant="acme", code="refused", count=7)
COMMAND = event(
    id="cmd_1", action="key:create", arguments={"name": "ci"}, uid=0, login_uid=1000, tenant="acme",
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    folder: Path
    key: Ed25519PrivateKey
    head: Head

    def copy(self, folder: Path) -> Written:
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)

    def files(self) -> list[Path]:
        numbers = list_segments(self.folder, "gateway")
        return [segment_file(self.folder, "gateway", number) for number in numbers]

    def lines(self) -> list[bytes]:
        """Every line of the chain, without its end."""
        return [line for file in self.files() for line in file.read_bytes().splitlines()]

    def put(self, lines: list[bytes]) -> None:
        """Write a chain of these lines: each `open` begins the next file that there was."""
        files = iter(self.files())
        for file in self.files():
            file.write_bytes(b"")
        file = next(files)
        for number, line in enumerate(lines):
            if number and (record := parse_line(line)) and record.kind == "open":
                file = next(files, file)
            with file.open("ab") as out:
                out.write(line + b"\n")

    def verify(self, *seen: Head, head: Head | None = None) -> ChainReport:
        public = self.key.public_key()
        return verify_chain(self.folder, "gateway", public, head or self.head, seen)

    def kinds(self, *seen: Head, head: Head | None = None) -> set[str]:
        return {fault.kind for fault in self.verify(*seen, head=head).faults}


def seal_head(appender: Appender) -> Head:
    return Head(appender.seq, name_of(appender.seal), appender.seal)


def write_chain(folder: Path, key: Ed25519PrivateKey) -> Written:
    """Write three segments with every kind of record; the first is removed for its age."""
    first = Appender(folder, "gateway", key, NEVER, Head())
    first.write([event(tenant="acme", id="old", at_ms=1)], durable=True)
    first.close()
    appender = Appender(folder, "gateway", key, replace(NEVER, retain_days=1), Head())
    appender.write([BEGIN], durable=True)
    assert appender.retire() == [1]
    appender.write([END, DENIED, MORE], durable=False)
    appender.write([COMMAND], durable=False, seal=True)
    head = seal_head(appender)
    appender.write([event(id="unsealed")], durable=False)
    appender.close()
    restarted = Appender(folder, "gateway", key, NEVER, head)  # after a crash
    restarted.write([BEGIN, END], durable=True, seal=True)
    restarted.write([event("stop")], durable=True, seal=True)
    restarted.close()
    return Written(folder, key, seal_head(restarted))
