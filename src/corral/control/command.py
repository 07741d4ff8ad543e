"""The command line of a launcher process, for those who start one (CLI, service units, tests).

Trust: any operator-side process. Input: trusted.
The interpreter runs isolated (`-I`) and without site packages (`-S`), so that third-party code
cannot be imported into the privileged process at all.
"""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import corral
from corral.core.home import Home

_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from corral.launcher.main import main; main(sys.argv[2:])"
)


def serve_command(
    home: Home, settings: Mapping[str, object], ready_fd: int, listener_fd: int = -1,
    master_key_fd: int = -1,
) -> list[str]:  # fmt: skip
    """Return the argv of a server's launcher.

    Args:
        home: the state folder, initialised.
        settings: dotted overrides of the configuration, e.g. `{"listen.port": 0}`.
        ready_fd: inherited descriptor that gets one JSON line: `{"host", "port"}` once the gateway
            serves, or `{"error": {"code", "message", "remedy"}}`.
        listener_fd: inherited listening socket to serve on; -1 to bind `listen.host` and `.port`.
        master_key_fd: inherited descriptor of the open master key (`control.sealed_key`); without
            one no gateway of corral's starts.
    """
    return [
        *_command("serve", home, settings, ready_fd),
        "--listener", str(listener_fd), "--master-key", str(master_key_fd),
    ]  # fmt: skip


def job_command(home: Home, settings: Mapping[str, object], channel_fd: int) -> list[str]:
    """Return the argv of a launcher that works for one command only.

    Args:
        home: the state folder.
        settings: dotted overrides of the configuration.
        channel_fd: inherited SEQPACKET socket on which it answers; it ends when that closes.
    """
    return _command("job", home, settings, channel_fd)


def selftest_command(home: Home, settings: Mapping[str, object], channel_fd: int) -> list[str]:
    """Return the argv of a job's launcher that has the images of every zone."""
    return _command("selftest", home, settings, channel_fd)


def _command(mode: str, home: Home, settings: Mapping[str, object], fd: int) -> list[str]:
    source = str(Path(corral.__file__).parent.parent)
    site = sysconfig.get_path("purelib")
    overrides = json.dumps({k: v for k, v in settings.items() if v is not None})
    return [
        sys.executable, "-I", "-S", "-c", _BOOT, source,
        mode, "--home", str(home.root), "--fd", str(fd), "--site", site, "--set", overrides,
    ]  # fmt: skip
