"""Audit records for other systems: JSON lines, and syslog messages of RFC 5424.

Trust: gateway [net] and operator side; no I/O. Input: records of a file that somebody may have
changed: every value is escaped, and what a syslog field cannot hold becomes `?`.

A syslog message has all it says as structured data (`[corral@32473 …]`: RFC 5612 sets 32473 aside
for who has no registered number), facility 13 (log audit), and severity notice for what was done,
warning for what was refused.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from corral.audit.record import Record, line_of

_FACILITY: Final = 13
_NOTICE: Final = 5
_WARNING: Final = 4
_ESCAPED: Final = re.compile(r'(["\\\]])')
_NOT_PRINTABLE: Final = re.compile(r"[^!-~]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SD_ID: Final = "corral@32473"


def json_line(record: Record) -> str:
    """Return a record as one line of JSON: its form in the log, without the links of the chain.

    Everything but ASCII is escaped: a terminal would obey a C1 control character.
    """
    return json.dumps(plain(record), separators=(",", ":"))


def plain(record: Record) -> dict[str, object]:
    """Return what a record says, and when in words."""
    fields: dict[str, object] = msgspec.json.decode(line_of(record))
    fields.pop("prev", None)
    return {"time": moment(record), **fields}


def syslog_line(record: Record, host: str) -> str:
    """Return a record as a syslog message, without its frame (RFC 5424, section 6).

    Args:
        record: what happened.
        host: name of this machine.
    """
    refused = record.status >= 400 or record.code not in {"", "ok", "cancelled"}
    priority = _FACILITY * 8 + (_WARNING if refused else _NOTICE)
    fields = plain(record)
    del fields["time"], fields["at_ms"]
    arguments = fields.pop("arguments", {})
    if isinstance(arguments, dict):
        fields |= {f"arg_{_name(key)}": value for key, value in arguments.items()}
    params = " ".join(f'{name}="{_value(str(value))}"' for name, value in fields.items())
    head = f"<{priority}>1 {moment(record)} {_header(host, 255)} corral"
    return f"{head} - {_header(record.kind, 32)} [{_SD_ID} {params}]"


def moment(record: Record) -> str:
    """Return a record's time as RFC 3339 has it, to the millisecond."""
    try:
        at = datetime.fromtimestamp(record.at_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        at = datetime.fromtimestamp(0, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _value(text: str) -> str:
    return _ESCAPED.sub(r"\\\1", _CONTROL.sub("?", text))


def _name(text: str) -> str:
    return re.sub(r'[^!-~]|[="\]]', "_", text)[:28] or "_"


def _header(text: str, longest: int) -> str:
    return _NOT_PRINTABLE.sub("?", text)[:longest] or "-"
