"""JSON log lines: a constant event name and fields from an allow-list, redacted.

Trust: gateway [net] and operator side. Must never write prompt or completion text, keys or engine
output: a field that is not on the list is dropped (and counted), anything that looks like a key is
masked, an exception is named by type and place, never by its message; a third-party library's
message text is dropped, only its place is kept.
Input: fields may hold hostile strings; each is cut to `VALUE_CHARACTERS` and JSON-escaped.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import MutableMapping
from typing import Any, Final, TextIO, cast

import structlog

VALUE_CHARACTERS: Final = 256

FIELDS: Final = frozenset({
    "address", "admitted", "attempt", "bytes", "code", "completion_tokens", "count", "deadline_s",
    "digest", "dropped", "dropped_fields", "duration_ms", "error", "event", "feature",
    "first_token_ms", "host", "key_id", "key_prefix", "kind", "level", "library", "limit",
    "load_ms", "module", "method", "model", "not_after", "pid", "policy", "port", "prompt_tokens",
    "queue_ms", "reason", "request_id", "retry_after_s", "route", "rss_bytes", "runtime",
    "severity", "size_bytes", "source_kind", "status", "step", "stream", "tenant", "tier",
    "trust", "ts", "version", "where", "worker_id",
})  # fmt: skip
"""Every field a line may have. A new one is added here, where a reviewer sees it: it must be an
identifier, a number or a word of a fixed vocabulary."""

_EVENT: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_KEY: Final = re.compile(r"sk-corral-[A-Za-z0-9_-]*|(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}")
"""Our keys in any surroundings, and other services' that somebody sends by mistake."""
_MASK: Final = "[key]"
_FRAMES: Final = 8

_Event = MutableMapping[str, Any]


def configure_logging(stream: TextIO | None = None, level: str = "info") -> None:
    """Send corral's and every library's log lines to `stream`, one JSON object each.

    Args:
        stream: where to; standard error if None.
        level: least level written: `debug`, `info`, `warning`, `error`.

    Raises:
        ValueError: no such level.
    """
    number = logging.getLevelNamesMapping()[level.upper()] if level else logging.INFO
    _configure(number, stream)
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler()]
    root.setLevel(max(number, logging.WARNING))


def _configure(level: int, stream: TextIO | None) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            describe_exception,
            allow_fields,
            redact,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a module; use it as `log.warning("event_name", field=value)`."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(module=name))


def describe_exception(_logger: object, _method: str, event: _Event) -> _Event:
    """Replace `exc_info` by the exception's type and where it was raised."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        event["where"] = " < ".join(f"{_module(f.filename)}:{f.lineno}" for f in reversed(frames))
    return event


def allow_fields(_logger: object, _method: str, event: _Event) -> _Event:
    """Drop every field that is not in `FIELDS` and say how many were dropped."""
    unknown = [name for name in event if name not in FIELDS]
    for name in unknown:
        del event[name]
    if unknown:
        event["dropped_fields"] = len(unknown)
    if not (isinstance(event.get("event"), str) and _EVENT.fullmatch(event["event"])):
        event["event"] = "unnamed_event"
    return event


def redact(_logger: object, _method: str, event: _Event) -> _Event:
    """Mask keys, cut long values, and turn anything but plain values into its type's name."""
    for name, value in event.items():
        if isinstance(value, str):
            # Cut first and a key could survive as its first half: mask before the cut.
            event[name] = _KEY.sub(_MASK, value)[:VALUE_CHARACTERS]
        elif not (value is None or isinstance(value, int | float)):
            event[name] = f"[{type(value).__name__}]"
    return event


def _render(_logger: object, _method: str, event: _Event) -> str:
    return json.dumps(event, ensure_ascii=True, separators=(",", ":"), sort_keys=True)


def _module(filename: str) -> str:
    return "/".join(filename.rsplit("/", 2)[-2:])


class _Lines:
    """Writes whole lines; a log that cannot be written never stops the work."""

    _lock = threading.Lock()

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        stream = self._stream or sys.stderr
        with self._lock, contextlib.suppress(OSError, ValueError):
            stream.write(line + "\n")
            stream.flush()

    debug = info = warning = error = critical = write


class _LibraryHandler(logging.Handler):
    """Notes that a library logged something, and where; its words may hold anybody's text."""

    def emit(self, record: logging.LogRecord) -> None:
        log = get_logger(__name__).bind(library=record.name)
        where = f"{_module(record.pathname)}:{record.lineno}"
        level = max(10, min(50, record.levelno // 10 * 10))
        log.log(level, "library_message", where=where, exc_info=record.exc_info)


# A process that never calls `configure_logging` (the command line) must be redacted all the same.
_configure(logging.WARNING, None)
