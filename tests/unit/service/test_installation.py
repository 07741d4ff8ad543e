"""Files in a folder that stands for `/`; systemd and the account are stood in for."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from corral.core.errors import CorralError
from corral.service import installation, systemd_unsafe
from corral.service.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(
        personal=False, root=tmp_path, program=Path("/opt/corral/bin/corral"),
        state=Path("/var/lib/corral"), listen="127.0.0.1:8443",
    )  # fmt: skip


def test_it_is_written_once(layout: Layout) -> None:
    done = installation.install(layout)
    assert [line.split()[0] for line in done] == ["wrote"] * 3
    assert installation.install(layout) == []
    assert set(installation.status(layout).values()) == {"current"}
    for path in layout.files():
        assert path.stat().st_mode & 0o777 == 0o644


def test_an_upgrade_keeps_address_and_drop_ins(layout: Layout) -> None:
    installation.install(replace(layout, listen="0.0.0.0:443"))
    unit = layout.units / "corral.service"
    unit.write_text(unit.read_text() + "# of an older version\n")
    own = layout.units / "corral.service.d" / "own.conf"
    own.parent.mkdir()
    own.write_text("[Service]\nMemoryMax=4G\n")
    assert installation.status(layout)[str(unit)] == "old"
    assert installation.upgrade(layout) == [f"replaced {unit}", f"kept {own}"]
    assert "0.0.0.0:443" in (layout.units / "corral.socket").read_text()
    assert own.read_text() == "[Service]\nMemoryMax=4G\n"


def test_nothing_to_upgrade(layout: Layout) -> None:
    with pytest.raises(CorralError) as caught:
        installation.upgrade(layout)
    assert caught.value.code == "not_installed"


def test_a_unit_of_somebody_else_is_left_alone(layout: Layout) -> None:
    unit = layout.units / "corral.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    for attempt in (
        lambda: installation.install(layout),
        lambda: installation.uninstall(layout, purge=False),
    ):
        with pytest.raises(CorralError) as caught:
            attempt()
        assert caught.value.code == "unit_foreign"
    assert unit.read_text() == "[Service]\n"
    assert not (layout.units / "corral.socket").exists()


def test_uninstalling_keeps_what_is_the_operators(layout: Layout) -> None:
    installation.install(layout)
    state = layout.root / "var/lib/corral"
    state.mkdir(parents=True)
    own = layout.units / "corral.service.d" / "own.conf"
    own.parent.mkdir()
    own.touch()
    done = installation.uninstall(layout, purge=False)
    assert [line.split()[0] for line in done] == ["removed"] * 3 + ["kept", "kept"]
    assert state.is_dir()
    assert own.exists()
    assert set(installation.status(layout).values()) == {"missing"}
    assert installation.uninstall(layout, purge=True)[0] == f"removed {state}"
    assert not state.exists()


class Machine:
    """What would be done to the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, account: bool) -> None:
        self.done: list[str] = []
        self.account = account
        monkeypatch.setattr(Layout, "live", True)
        monkeypatch.setattr(installation, "manager_runs", lambda *, personal: True)
        monkeypatch.setattr(installation, "systemctl", self._systemctl)
        monkeypatch.setattr(installation, "make_user", self._make_user)
        monkeypatch.setattr(pwd, "getpwnam", self._look_up)
        monkeypatch.setattr(os, "chown", lambda path, uid, gid: self.done.append(f"chown {uid}"))

    def _systemctl(self, *words: str, personal: bool) -> None:
        self.done.append(" ".join(words))

    def _make_user(self) -> None:
        self.account = True
        self.done.append("user")

    def _look_up(self, name: str) -> object:
        if not self.account:
            raise KeyError(name)
        return SimpleNamespace(pw_uid=os.getuid(), pw_gid=os.getgid())


def test_on_a_live_machine(layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = Machine(monkeypatch, account=False)
    live = replace(layout, state=Path("/state"))
    done = installation.install(live)
    assert "made the system user corral" in done
    assert f"made {tmp_path}/state" in done
    assert machine.done == ["user", f"chown {os.getuid()}", "daemon-reload"]
    assert installation.install(live) == ["reloaded systemd"]
    removed = installation.uninstall(live, purge=False)
    assert removed[0] == "stopped corral.socket corral.service"
    assert machine.done[-2:] == ["disable --now corral.socket corral.service", "daemon-reload"]


@pytest.mark.parametrize("personal", [False, True])
def test_an_upgrade_restarts_what_runs_or_says_how(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, personal: bool
) -> None:
    machine = Machine(monkeypatch, account=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/config")
    live = replace(
        layout, state=tmp_path / "state" if personal else Path("/state"), personal=personal
    )
    installation.install(live)
    assert personal <= (tmp_path / "state").is_dir()
    done = installation.upgrade(live)
    assert machine.done[-2:] == ["daemon-reload", "try-restart corral.socket corral.service"]
    assert done[-1] == "restarted corral.socket corral.service, where they ran"
    machine.done.clear()
    scope = " --user" if personal else ""
    assert installation.upgrade(live, restart=False)[-1] == (
        f"not restarted: systemctl{scope} try-restart corral.socket corral.service"
    )
    assert machine.done == ["daemon-reload"]
    # Nobody to ask: an image that is being built.
    monkeypatch.setattr(installation, "manager_runs", lambda *, personal: False)
    assert installation.upgrade(live) == []


def test_a_state_folder_of_somebody_else(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Machine(monkeypatch, account=True)
    monkeypatch.setattr(
        pwd, "getpwnam", lambda _: SimpleNamespace(pw_uid=os.getuid() + 1, pw_gid=0)
    )
    (tmp_path / "state").mkdir()
    with pytest.raises(CorralError) as caught:
        installation.install(replace(layout, state=Path("/state")))
    assert caught.value.code == "foreign_state"


def test_what_systemd_refuses_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho no such unit >&2\nexit 5\n")
    (tmp_path / "systemd-sysusers").write_text("#!/bin/sh\nexit 0\n")
    for program in tmp_path.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(CorralError) as caught:
        systemd_unsafe.systemctl("daemon-reload", personal=True)
    assert caught.value.code == "systemctl_failed"
    assert "no such unit" in caught.value.message
    systemd_unsafe.make_user()
    (tmp_path / "systemd-sysusers").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorralError) as caught:
        systemd_unsafe.make_user()
    assert "useradd" in caught.value.remedy


def test_no_systemd_runs_in_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not systemd_unsafe.manager_runs(personal=False)
