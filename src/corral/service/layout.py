"""Where the service's files lie, and what is in them: units as text, without any effect.

Trust: operator side. Input: the operator's choice of folder, program and address, checked here,
because systemd gives `%`, spaces and quotes in a unit a meaning.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
import sysconfig
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError

DEFAULT_LISTEN: Final = "127.0.0.1:8443"
STATE: Final = Path("/var/lib/corral")
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9._+@/-]*")
_HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - never opened
"""What `ProtectHome=` and `PrivateTmp=` take out of the service's sight."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to install.

    Attributes:
        personal: for `systemd --user` instead of the whole machine.
        root: folder that stands for `/`, e.g. of an image that is being built.
        program: the `corral` command as the service will see it.
        state: state folder as the service will see it.
    """

    personal: bool
    root: Path
    program: Path
    state: Path
    listen: str

    @classmethod
    def choose(
        cls, *, personal: bool, root: Path | None, program: Path | None, listen: str
    ) -> Layout:
        """Return a layout whose values are safe to write into units.

        Raises:
            CorralError: codes `bad_listen`, `bad_path`, `program_hidden`.
        """
        found = program or this_program()
        state = _personal_state() if personal else STATE
        layout = cls(personal, root or Path("/"), found, state, parse_listen(listen))
        for path in (found, state, *layout.hidden_parts()):
            if not _PLAIN_PATH.fullmatch(str(path)) or "@@" in str(path):
                raise CorralError(
                    "bad_path", f"{path} holds characters that mean something in a unit",
                    remedy="install corral in a folder with a plain name, e.g. /opt/corral",
                )  # fmt: skip
        if not personal and not program:
            layout.check_program_is_visible()
        return layout

    def hidden_parts(self) -> list[Path]:
        """Return folders of the program that the user's unit hides unless it binds them."""
        parts = {self.program.parent.parent}
        if self.program == this_program():
            package = Path(__file__).parents[2]  # elsewhere where corral was installed editable
            parts |= {Path(sys.prefix), Path(sys.base_prefix), package}
        parts |= {path.resolve() for path in parts}
        hidden = {p for p in parts if any(p.is_relative_to(folder) for folder in _HIDDEN)}
        return sorted(p for p in hidden if not hidden & set(p.parents))

    def check_program_is_visible(self) -> None:
        """Refuse a Python that the hardened unit could not see.

        Raises:
            CorralError: code `program_hidden`.
        """
        for prefix in (self.program, Path(sys.prefix), Path(sys.base_prefix)):
            if any(prefix.resolve().is_relative_to(hidden) for hidden in _HIDDEN):
                raise CorralError(
                    "program_hidden",
                    f"{prefix} is in a folder that the service is not allowed to see",
                    remedy="install corral for all users, e.g. python3 -m venv /opt/corral && "
                    "/opt/corral/bin/pip install corral, and run /opt/corral/bin/corral service "
                    "install; or install for yourself only: corral service install --user",
                )

    @property
    def live(self) -> bool:
        """Whether this is the machine we run on, and not a folder that stands for one."""
        return self.root == Path("/")

    @property
    def units(self) -> Path:
        """Folder of the units."""
        if not self.personal:
            return self.root / "etc" / "systemd" / "system"
        config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        return self._below_root(Path(config).expanduser() / "systemd" / "user")

    def files(self) -> dict[Path, str]:
        """Return every file of the installation with its text."""
        kind = "user" if self.personal else "system"
        made = {
            self.units / name: self._render(f"{kind}/{name}")
            for name in ("corral.socket", "corral.service")
        }
        if not self.personal:
            path = self.root / "etc" / "sysusers.d" / "corral.conf"
            made[path] = self._render("system/corral.sysusers")
        return made

    def _below_root(self, path: Path) -> Path:
        return self.root / path.relative_to("/")

    def _render(self, name: str) -> str:
        text = resources.files("corral.service").joinpath("units", name).read_text("utf-8")
        for key, value in (
            ("PROGRAM", self.program),
            ("HOME", self.state),
            ("LISTEN", self.listen),
            ("VISIBLE", " ".join(str(path) for path in self.hidden_parts())),
        ):
            text = text.replace(f"@{key}@", str(value))
        return text


def this_program() -> Path:
    """Return the `corral` command that belongs to the running interpreter."""
    return Path(sysconfig.get_path("scripts")) / "corral"


def parse_listen(text: str) -> str:
    """Return an address and port as systemd writes them.

    Raises:
        CorralError: code `bad_listen`.
    """
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError as error:
        raise _bad_listen(text) from error
    if not port.isdecimal() or not 1 <= number <= 65535:
        raise _bad_listen(text)
    return f"[{address}]:{number}" if address.version == 6 else f"{address}:{number}"


def _bad_listen(text: str) -> CorralError:
    return CorralError(
        "bad_listen", f"{text!r} is no address with a port", remedy="for example: 127.0.0.1:8443"
    )


def _personal_state() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return (Path(data) / "corral").expanduser().absolute()
