"""The private tree, in mount namespaces that are thrown away."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.core.home import Home
from corral.launcher import stage
from corral.sandbox import linux_unsafe as linux
from tests.support.children import in_child

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def privately(look: Callable[[], object]) -> str:
    """Return what `look` returns with mounts of its own."""

    def inside() -> str:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("", "/", "", linux.MS_REC | linux.MS_PRIVATE)
        return str(look())

    return in_child(inside)


def flags_of(path: Path) -> set[str]:
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = [line for line in lines if line[1] == str(path)]
    return set(found[-1][3].split(",")) & {"ro", "rw", "nosuid", "nodev", "noexec"}


@pytest.mark.parametrize("hybrid", [False, True])
def test_what_jails_are_made_from(home: Home, tmp_path: Path, hybrid: bool) -> None:
    root = tmp_path / "image"
    root.mkdir()

    def look() -> object:
        stage.build_stage(home, {"scan": root}, hide_unified=hybrid)
        return {
            str(path.relative_to(stage.STAGE)): " ".join(sorted(flags_of(path)))
            for path in (
                stage.IMAGES / "scan", stage.STORE, stage.QUARANTINE, stage.STATE, stage.STAGE,
            )
        }  # fmt: skip

    assert privately(look) == str(
        {
            "images/scan": "ro",
            "store": "nodev noexec nosuid ro",
            "quarantine": "nodev noexec nosuid rw",
            "state": "nodev noexec nosuid rw",
            ".": "nodev noexec nosuid rw",
        }
    )


def test_flags_of_the_source_are_kept(tmp_path: Path) -> None:
    def look() -> object:
        linux.mount(
            "tmpfs", str(tmp_path), "tmpfs", linux.MS_NODEV | linux.MS_NOEXEC, "size=1m"
        )  # fmt: skip
        linux.mount(str(tmp_path), str(tmp_path), "", linux.MS_BIND)
        stage._restrict(tmp_path, linux.MS_RDONLY)
        return sorted(flags_of(tmp_path))

    assert privately(look) == "['nodev', 'noexec', 'ro']"


def test_a_file_is_shown_to_one_jail_and_hidden_again(home: Home, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"GGUF")

    def look() -> object:
        stage.build_stage(home, {}, hide_unified=False)
        fd = os.open(model, os.O_RDONLY)
        shown = Path(stage.show_file("engine-1", fd))
        content = shown.read_bytes()
        stage.hide_file("engine-1")
        stage.hide_file("engine-1")
        return content, shown.exists()

    assert privately(look) == str((b"GGUF", False))


def test_an_adapter_is_shown_beside_a_model_and_hidden_with_it(home: Home, tmp_path: Path) -> None:
    for name in ("model", "adapter"):
        (tmp_path / name).write_text(name)

    def look() -> object:
        stage.build_stage(home, {}, hide_unified=False)
        shown = [
            Path(stage.show_file("engine-1", os.open(tmp_path / name, os.O_RDONLY), ending))
            for name, ending in (("model", stage.FILE), ("adapter", stage.LAID))
        ]
        content = [path.read_text() for path in shown]
        stage.hide_file("engine-1")
        return content, [path.exists() for path in shown]

    assert privately(look) == str((["model", "adapter"], [False, False]))


def test_a_folder_is_shown_to_one_jail_read_only_and_hidden_again(
    home: Home, tmp_path: Path
) -> None:
    folder = tmp_path / "scan-1"
    folder.mkdir()
    (folder / "part-0").write_bytes(b"GGUF")

    def look() -> object:
        stage.build_stage(home, {}, hide_unified=False)
        fd = os.open(folder, os.O_RDONLY)
        shown = Path(stage.show_file("scan-1", fd, stage.FOLDER))
        content, flags = (shown / "part-0").read_bytes(), flags_of(shown)
        stage.hide_file("scan-1")
        return content, "ro" in flags, shown.exists()

    assert privately(look) == str((b"GGUF", True, False))


def test_a_folder_that_is_missing_ends_it(home: Home) -> None:
    home.quarantine.rmdir()

    def look() -> object:
        stage.build_stage(home, {}, hide_unified=False)
        return "went on"

    assert privately(look).startswith("FileNotFoundError")
