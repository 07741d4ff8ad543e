"""Put the service's files where systemd looks for them, replace them, take them away.

Trust: operator side, run by root or, for `--user`, by the user. Input: a checked `Layout`. Only
files that carry our own first line are replaced or removed; drop-ins of the operator never are.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.service.layout import Layout
from corral.service.systemd_unsafe import make_user, manager_runs, systemctl

_MARK: Final = "# Written by `corral service install"
_LISTEN: Final = re.compile(r"^ListenStream=(.+)$", re.MULTILINE)
USER: Final = "corral"


def install(layout: Layout) -> list[str]:
    """Write what is missing or old; return one line for each thing that was done.

    Raises:
        CorralError: codes `unit_foreign`, `user_failed`, `systemctl_failed`.
    """
    files = layout.files()
    check_ownership(files)
    done = [line for path, text in files.items() if (line := _write(path, text))]
    if layout.live:
        if layout.personal:
            done += _make_folder(layout.state)
        else:
            done += _make_account(layout.root / layout.state.relative_to("/"))
        done += _reload(layout)
    return done


def upgrade(layout: Layout, *, restart: bool = True) -> list[str]:
    """Replace the units of an installation; its address and the operator's drop-ins stay.

    What runs is restarted even if no unit changed: it still is the program of before.

    Args:
        layout: what was installed.
        restart: stop what runs and start it anew; else say how that is done.

    Raises:
        CorralError: code `not_installed`, and those of `install`.
    """
    socket = layout.units / "corral.socket"
    if not socket.exists():
        raise CorralError(
            "not_installed", "no service is installed here", remedy="corral service install"
        )
    found = _LISTEN.search(socket.read_text(encoding="utf-8"))
    done = install(replace(layout, listen=found[1]) if found else layout)
    if layout.live and manager_runs(personal=layout.personal):
        done.append(_restart(layout, really=restart))
    done += [f"kept {path}" for path in drop_ins(layout)]
    return done


def uninstall(layout: Layout, *, purge: bool) -> list[str]:
    """Stop the service and remove its files.

    Args:
        layout: what was installed.
        purge: remove the state folder too: models, keys, everything.

    Raises:
        CorralError: codes `unit_foreign`, `systemctl_failed`.
    """
    files = layout.files()
    check_ownership(files)
    done: list[str] = []
    present = [path for path in files if path.exists()]
    if present and layout.live and manager_runs(personal=layout.personal):
        units = [path.name for path in present if path.parent == layout.units]
        systemctl("disable", "--now", *units, personal=layout.personal)
        done.append(f"stopped {' '.join(units)}")
    for path in present:
        path.unlink()
        done.append(f"removed {path}")
    if present:
        done += _reload(layout)
    state = layout.root / layout.state.relative_to("/")
    if state.exists():
        if purge:
            shutil.rmtree(state)
        done.append(f"{'removed' if purge else 'kept'} {state}")
    return [*done, *(f"kept {path}" for path in drop_ins(layout))]


def status(layout: Layout) -> dict[str, str]:
    """Return for each file `missing`, `current`, `old` (to be upgraded) or `foreign`."""
    socket = layout.units / "corral.socket"
    found = _LISTEN.search(socket.read_text(encoding="utf-8")) if socket.exists() else None
    wanted = (replace(layout, listen=found[1]) if found else layout).files()
    return {str(path): _state(path, text) for path, text in wanted.items()}


def drop_ins(layout: Layout) -> list[Path]:
    """Return the operator's own changes."""
    return sorted(layout.units.glob("corral.*.d/*.conf"))


def check_ownership(files: dict[Path, str]) -> None:
    """Refuse to touch a file that somebody else wrote.

    Raises:
        CorralError: code `unit_foreign`.
    """
    for path, text in files.items():
        if _state(path, text) == "foreign":
            raise CorralError(
                "unit_foreign", f"{path} was not written by corral",
                remedy="move it away, then run this again",
            )  # fmt: skip


def _state(path: Path, text: str) -> str:
    try:
        have = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return "missing"
    if not have.startswith(_MARK):
        return "foreign"
    return "current" if have == text else "old"


def _write(path: Path, text: str) -> str:
    before = _state(path, text)
    if before == "current":
        return ""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(0o644)
    temporary.replace(path)
    return f"{'wrote' if before == 'missing' else 'replaced'} {path}"


def _make_folder(state: Path) -> list[str]:
    """Make what the user's unit binds: without it systemd refuses to start the service."""
    if state.exists():
        return []
    state.mkdir(mode=0o700, parents=True)
    return [f"made {state}"]


def _make_account(state: Path) -> list[str]:
    done = []
    try:
        account = pwd.getpwnam(USER)
    except KeyError:
        make_user()
        account = pwd.getpwnam(USER)
        done.append(f"made the system user {USER}")
    if not state.exists():
        state.mkdir(mode=0o700, parents=True)
        os.chown(state, account.pw_uid, account.pw_gid)
        done.append(f"made {state}")
    elif state.stat().st_uid != account.pw_uid:
        raise CorralError(
            "foreign_state", f"{state} belongs to another user than {USER}",
            remedy=f"if it is to be the service's: sudo chown -R {USER}:{USER} {state}",
        )  # fmt: skip
    return done


def _restart(layout: Layout, *, really: bool) -> str:
    # The service requires its socket: restarting that alone would stop the service for good.
    units = ("corral.socket", "corral.service")
    if really:
        # `try-`: what does not run is not started.
        systemctl("try-restart", *units, personal=layout.personal)
        return f"restarted {' '.join(units)}, where they ran"
    scope = " --user" if layout.personal else ""
    return f"not restarted: systemctl{scope} try-restart {' '.join(units)}"


def _reload(layout: Layout) -> list[str]:
    if not layout.live or not manager_runs(personal=layout.personal):
        return []
    systemctl("daemon-reload", personal=layout.personal)
    return ["reloaded systemd"]
