"""Images hold what a jail needs and nothing that could be used against the host."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

import corral
from corral.core.errors import SandboxError
from corral.sandbox.image import Installation, _open_modes, _publish, build_image, remove_stale

INSTALLED = Installation(Path(sysconfig.get_path("purelib")), Path(corral.__file__).parent)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def rootfs(images: Path) -> Path:
    return build_image("fetch", images, INSTALLED)


def walk(rootfs: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for folder, folders, files in os.walk(rootfs):
        for name in (*folders, *files):
            path = Path(folder, name)
            yield path, path.lstat()


@pytest.mark.claim("SBX-12")
def test_nothing_is_writable_for_others_or_privileged(rootfs: Path) -> None:
    for path, facts in walk(rootfs):
        kind = stat.S_IFMT(facts.st_mode)
        assert kind in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}, path
        if kind != stat.S_IFLNK:
            assert not facts.st_mode & (0o022 | stat.S_ISUID | stat.S_ISGID), path
            assert facts.st_mode & 0o004, path


@pytest.mark.claim("SBX-12")
def test_no_shell_and_no_tool_is_in_an_image(rootfs: Path) -> None:
    programs = {path.name for path, _ in walk(rootfs) if path.parent.name in {"bin", "sbin"}}
    assert programs == {"python3", "corral-fetch"}


@pytest.mark.claim("SBX-12")
def test_links_stay_inside(rootfs: Path) -> None:
    for path, facts in walk(rootfs):
        if stat.S_ISLNK(facts.st_mode):
            assert not Path(os.readlink(path)).is_absolute(), path
            assert path.resolve().is_relative_to(rootfs.resolve()), path


def test_only_the_packages_of_its_kind(rootfs: Path) -> None:
    site = next(rootfs.glob("opt/python/lib/python3.*/site-packages"))
    assert {p.name for p in (site / "corral").iterdir() if p.name != "__pycache__"} == {
        "__init__.py", "core", "jail", "admission", "selftest",
    }  # fmt: skip
    names = {path.name for path in site.iterdir()}
    assert {"msgspec", "httpx2"} <= names
    assert not names & {"pip", "numpy", "sqlalchemy", "pytest", "xllamacpp", "cryptography"}


def test_the_program_runs_from_the_image_alone(rootfs: Path) -> None:
    library = next(rootfs.glob("opt/python/lib/python3.*"))
    done = subprocess.run(
        [str(rootfs / "opt/python/bin/corral-fetch"), "-I", "-S", "-B", "-c",
         "import sys; sys.path[:] = sys.argv[1:]; import corral.admission.fetch.job, json, socket"
         "; print(json.__file__)",
         str(library), str(library / "lib-dynload"), str(library / "site-packages")],
        capture_output=True, text=True, check=False, env={},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(rootfs))


def test_a_finished_image_is_used_as_it_is(images: Path, rootfs: Path) -> None:
    before = images.stat().st_mtime_ns  # each build makes a folder in it, and renames that
    assert build_image("fetch", images, INSTALLED) == rootfs
    assert images.stat().st_mtime_ns == before
    assert not list(images.glob(".*"))


def test_the_base_is_shared_between_images(images: Path, rootfs: Path) -> None:
    other = build_image("scan", images, INSTALLED)
    inside = Path("opt/python/bin/python3")
    assert (other / inside).samefile(rootfs / inside)
    assert list(other.glob("opt/python/lib/python3.*/site-packages/numpy"))


def test_images_of_other_versions_and_broken_builds_are_removed(images: Path, rootfs: Path) -> None:
    other = build_image("scan", images, INSTALLED)
    for name in ("engine-0123456789abcdef", ".fetch-0123456789abcdef.999999999"):
        (images / name).mkdir()
    busy = images / f".fetch-0123456789abcdef.{os.getpid()}"
    busy.mkdir()
    remove_stale(images, INSTALLED)
    left = {path.name for path in images.iterdir()}
    assert {rootfs.parent.name, other.parent.name, busy.name} <= left
    assert len(left) == 4  # and the base
    busy.rmdir()


def test_a_package_that_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        build_image("fetch", tmp_path, Installation(tmp_path, INSTALLED.package))
    assert caught.value.code == "image_incomplete"
    assert not list(tmp_path.iterdir())


def test_changed_sources_make_another_image(images: Path, rootfs: Path, tmp_path: Path) -> None:
    package = tmp_path / "corral"
    for part in ("core", "jail", "admission", "selftest/probes"):
        (package / part).mkdir(parents=True)
        (package / part / "__init__.py").write_text("changed = True\n")
    (package / "__init__.py").touch()
    changed = build_image("fetch", images, Installation(INSTALLED.site, package))
    assert changed != rootfs
    assert rootfs.is_dir()


def test_two_builders_of_one_image(tmp_path: Path) -> None:
    image, building = tmp_path / "image", tmp_path / ".image"
    for folder in (image, building):
        folder.mkdir()
        (folder / "complete").touch()
    _publish(building, image)
    assert not building.exists()


def test_something_else_is_in_the_way(tmp_path: Path) -> None:
    image, building = tmp_path / "image", tmp_path / ".image"
    building.mkdir()
    (image / "something").mkdir(parents=True)
    with pytest.raises(OSError, match="not empty"):
        _publish(building, image)
    assert not building.exists()


def test_modes_are_opened_for_mapped_ids_but_links_are_left(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True, mode=0o700)
    outside, data, program = tmp_path / "outside", root / "folder/data", root / "program"
    for file, mode in ((outside, 0o600), (data, 0o4640), (program, 0o2770)):
        file.touch()
        file.chmod(mode)
    (root / "link").symlink_to(outside)
    _open_modes(root)
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (outside, data, program, data.parent)]
    assert modes == [0o600, 0o644, 0o755, 0o755]


def test_the_interpreter_is_the_running_one(rootfs: Path) -> None:
    interpreter = Path(sys.executable).resolve()
    assert (rootfs / "opt/python/bin/python3").read_bytes() == interpreter.read_bytes()
