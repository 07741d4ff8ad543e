"""CDI specs: what a jail gets, and what is refused. No GPU is needed: /dev/null is a device too."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from corral.core.errors import SandboxError
from corral.launcher.cdi import load_device, may_be_shared
from corral.sandbox.oci import Bind

NULL = {"path": "/dev/null"}


def write(folder: Path, name: str = "a.json", **changes: Any) -> Path:
    """Write a spec of `corral.test/null=0` with these containerEdits."""
    folder.mkdir(exist_ok=True)
    spec = {
        "cdiVersion": "0.6.0", "kind": "corral.test/null",
        "containerEdits": changes.pop("everybody", {}),
        "devices": [{"name": "1", "containerEdits": {"env": ["WRONG=1"]}},
                    {"name": "0", "containerEdits": changes}],
    }  # fmt: skip
    file = folder / name
    file.write_text(json.dumps(spec))
    return file


def code_of(folder: Path, name: str = "corral.test/null=0") -> str:
    with pytest.raises(SandboxError) as caught:
        load_device(name, (folder,))
    return caught.value.code


def test_a_device_with_what_belongs_to_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        everybody={"env": ["ALL=yes"], "hooks": []},
        deviceNodes=[NULL, {"path": "/dev/gpu0", "hostPath": "/dev/zero", "permissions": "rwm"}],
        mounts=[{"hostPath": "/usr/lib/libgpu.so", "containerPath": "/usr/lib/libgpu.so",
                 "options": ["rw"]}],
        env=["DRIVER=a=b"],
    )  # fmt: skip
    edits = load_device("corral.test/null=0", (tmp_path,))
    assert edits.numbers == ((1, 3), (1, 5))
    assert edits.binds == (
        Bind("/dev/null", "/dev/null", writable=True, node=True),
        Bind("/dev/zero", "/dev/gpu0", writable=True, node=True),
        Bind("/usr/lib/libgpu.so", "/usr/lib/libgpu.so", runs=True),
    )
    assert edits.env == ("ALL=yes", "DRIVER=a=b")


def test_the_later_folder_wins(tmp_path: Path) -> None:
    write(tmp_path / "etc", env=["FROM=etc"])
    write(tmp_path / "run", env=["FROM=run"])
    folders = (tmp_path / "etc", tmp_path / "run")
    assert load_device("corral.test/null=0", folders).env == ("FROM=run",)


@pytest.mark.parametrize("name", ["corral.test/null=2", "corral.test/other=0", "a.com/b=0"])
def test_a_device_that_nobody_describes(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    assert code_of(tmp_path, name) == "device_unknown"
    assert code_of(tmp_path / "no-such-folder", name) == "device_unknown"


@pytest.mark.claim("HW-08")
@pytest.mark.parametrize(
    "edits",
    [
        {"hooks": [{"hookName": "createContainer", "path": "/bin/sh"}]},
        {"everybody": {"hooks": [{"hookName": "createRuntime", "path": "/bin/sh"}]}},
        {"additionalGids": [44]},
        {"intelRdt": {"closID": "x"}},
        {"netDevices": [{"hostInterfaceName": "eth0"}]},
        {"deviceNodes": [{"path": "/etc/passwd"}]},
        {"deviceNodes": [{"path": "/dev/../etc/passwd"}]},
        {"deviceNodes": [{"path": "/dev/x", "hostPath": "/etc/passwd"}]},
        {"deviceNodes": [{"path": "/dev/x", "hostPath": "/"}]},
        {"deviceNodes": [{}]},
        {"deviceNodes": ["/dev/null"]},
        {"deviceNodes": 7},
        {"mounts": [{"hostPath": "/a", "containerPath": "/proc/self"}]},
        {"mounts": [{"hostPath": "/a", "containerPath": "/opt"}]},
        {"mounts": [{"hostPath": "/a", "containerPath": "/"}]},
        {"mounts": [{"hostPath": "a", "containerPath": "/a"}]},
        {"mounts": [{"hostPath": "/../a", "containerPath": "/a"}]},
        {"env": ["NO_VALUE"]},
        {"env": ["A B=1"]},
        {"env": [1]},
    ],
)
def test_edits_that_a_jail_does_not_get(tmp_path: Path, edits: dict[str, Any]) -> None:
    write(tmp_path, **edits)
    assert code_of(tmp_path) == "cdi_unsupported"
    write(tmp_path, deviceNodes=[NULL])  # control: the same spec without it
    assert load_device("corral.test/null=0", (tmp_path,)).numbers


def test_a_device_that_does_not_exist(tmp_path: Path) -> None:
    write(tmp_path, deviceNodes=[{"path": "/dev/no-such-device"}])
    assert code_of(tmp_path) == "cdi_unsupported"


@pytest.mark.claim("HW-08")
def test_a_spec_that_others_can_write(tmp_path: Path) -> None:
    file = write(tmp_path)
    load_device("corral.test/null=0", (tmp_path,))  # control
    file.chmod(0o666)
    assert code_of(tmp_path) == "cdi_unsafe"
    file.unlink()
    os.symlink(write(tmp_path / "elsewhere"), file)
    assert code_of(tmp_path) == "cdi_unsafe"


@pytest.mark.parametrize("text", ["", "{", "[1]", "kind: corral.test/null\n"])
def test_a_spec_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert code_of(tmp_path) == "cdi_unsafe"


def test_vendors() -> None:
    assert may_be_shared("nvidia.com/gpu=0")
    assert not may_be_shared("amd.com/gpu=0")
