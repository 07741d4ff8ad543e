"""The operator's file: a document is refused by `ConfigError` or is within every range."""

from __future__ import annotations

import tomllib

from corral.core.config import check_config, parse_config
from corral.core.errors import ConfigError
from fuzz.target import Target


def check(data: bytes) -> None:
    """Parse the document."""
    try:
        document = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return
    try:
        config = parse_config(document)
    except ConfigError:
        return
    check_config(config)


TARGET = Target(
    "config",
    check,
    (
        b'[listen]\nhost = "::1"\nport = 1\nnames = ["a"]\n[limits]\nmax_tokens = 4\n',
        b'[sandbox]\ntier = "gvisor"\nallow_degraded = ["mdwe"]\n',
        b'[tls]\ncert_file = "/a"\nkey_file = "/b"\n[fetch]\nprivate_hosts = ["a:1"]\n',
    ),
)
