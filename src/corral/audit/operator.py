"""The operator's own chain: what was done by command, by whom, with what outcome.

Trust: operator side (`HOME/audit`, 0700; no jail sees it). A chain of its own, because the gateway
must be able to write the other one: a gateway that is taken over can neither change nor add a
command of the operator's. It is signed with the receipt key, which the gateway never has, and each
command notes the newest seal of the gateway's chain, so that this cannot be rewritten before it
unseen; only whole old files, said to be retired for their age, can go.

Several commands at a time: a lock, and the chain is taken up anew by each.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from corral.audit.appender import Appender, Rotation
from corral.audit.heads import read_head, write_head
from corral.audit.login import login_uid
from corral.audit.record import Record
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.receipt_key import load_receipt_key
from corral.state.connection import open_writer
from corral.state.schema import ensure_current


def operator_folder(home: Home) -> Path:
    """Return the folder of the operator's chain."""
    return home.root / "audit"


def begin_command(home: Home, action: str, tenant: str, arguments: Mapping[str, str]) -> Record:
    """Write down what the operator is about to do; it is on the disk when this returns.

    Args:
        home: state folder.
        action: `resource:action`.
        tenant: whom it is about; empty if nobody.
        arguments: of the command, without secrets.

    Raises:
        CorralError: code `audit_not_written`, or `receipt_key_unreadable`; nothing may be done.
    """
    ensure_current(home.database)
    seen = read_head(home.database, "gateway")
    record = Record(
        chain="operator", seq=0, prev="", at_ms=time.time_ns() // 1_000_000, kind="begin",
        id=f"cmd_{secrets.token_hex(12)}", tenant=tenant, action=action, arguments=dict(arguments),
        uid=os.geteuid(), login_uid=login_uid(), head_seq=max(seen.seq, 0), head=seen.name,
    )  # fmt: skip
    _append(home, record)
    return record


def end_command(home: Home, begun: Record, code: str) -> None:
    """Write down how it ended.

    Args:
        home: state folder.
        begun: what `begin_command` returned.
        code: `ok` or an error's code.

    Raises:
        CorralError: as `begin_command`.
    """
    _append(home, Record(
        chain="operator", seq=0, prev="", at_ms=time.time_ns() // 1_000_000, kind="end",
        id=begun.id, tenant=begun.tenant, action=begun.action, code=code,
    ))  # fmt: skip


def _append(home: Home, record: Record) -> None:
    key = load_receipt_key(home)
    folder = operator_folder(home)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with _locked(folder):
            head = read_head(home.database, "operator")
            appender = Appender(folder, "operator", key, Rotation(), head)
            try:
                appender.resume()
                appender.write([record], durable=True, seal=True)
            finally:
                appender.close()
            with closing(open_writer(home.database, fsync=False)) as connection:
                write_head(connection, "operator", appender.seal)
    except (OSError, sqlite3.Error) as error:
        raise CorralError(
            "audit_not_written",
            "the audit log of the operator's commands cannot be written, so nothing is done",
            remedy=f"look at the disk and at who owns {folder}",
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
