"""Minimal read-only root folders for jails: one interpreter, the packages named, their libraries.

Trust: trusted base; copies only files of corral's own installation. Input: trusted.
An image is built once for a set of versions and then only read: `HOME/images/<kind>-<key>/`.
The base (interpreter and standard library) is copied once and hard-linked into every image.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.core.errors import SandboxError
from corral.sandbox.elf_unsafe import list_libraries
from corral.sandbox.policy import load_policy, sealed_document

DISTRIBUTIONS: Final = {
    "engine": ("xllamacpp",),
    "scan": ("msgspec", "gguf", "jinja2", "markupsafe"),
    "guard": ("google-re2", "msgspec", "numpy", "onnxruntime", "tokenizers"),
    "media": ("msgspec", "pillow", "soundfile"),
    "fetch": ("msgspec", "httpx2"),
    "gateway": (
        "cryptography", "google-re2", "httptools", "joserfc", "msgspec", "nh3", "prometheus-client",
        "starlette", "structlog", "uvicorn", "uvloop",
    ),
}  # fmt: skip
PACKAGES: Final = {
    "engine": ("core", "jail", "engine", "selftest/probes"),
    "scan": ("core", "jail", "admission", "selftest/probes"),
    "guard": ("core", "jail", "guard", "selftest/probes"),
    "media": ("core", "jail", "media", "selftest/probes"),
    "fetch": ("core", "jail", "admission", "selftest/probes"),
    "gateway": (
        "core", "ipc", "jail", "state", "telemetry", "tenancy", "pki", "guard", "admission",
        "engine", "gateway", "audit", "media", "selftest/probes",
    ),
}  # fmt: skip
"""The selftest's program is in every image, so that what it finds is true for that very image."""
_UNWANTED: Final = frozenset({
    "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "distutils",
    "site-packages", "dist-packages", "__pycache__", "tests",
})  # fmt: skip
_NOT_USED: Final = frozenset(
    {"huggingface-hub", "pip", "protobuf", "requests", "setuptools", "tqdm"}
)
"""Requirements of a wheel that none of its modules we import needs."""
_MOUNT_POINTS: Final = ("proc", "dev", "tmp", "sys", "etc", "state", "quarantine")
_EMPTY_FILES: Final = ("model", "adapter", "projector", "candidate", "etc/resolv.conf", "etc/hosts")


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the running corral comes from.

    Attributes:
        site: folder of the installed packages.
        package: the `corral` package folder.
    """

    site: Path
    package: Path


def build_image(kind: str, images: Path, installed: Installation) -> Path:
    """Return the root folder for jails of `kind`, building it if it is not there yet.

    Raises:
        SandboxError: code `image_incomplete` if a needed package is not installed.
    """
    distributions = list(_closure(DISTRIBUTIONS[kind], installed.site))
    image = _image_folder(kind, images, installed, distributions)
    if (image / "complete").exists():
        return image / "rootfs"
    base = _build_base(images)
    building = images / f".{image.name}.{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    rootfs = building / "rootfs"
    _link_tree(base, rootfs)
    library = rootfs / "opt/python/lib" / f"python3.{sys.version_info.minor}"
    target = library / "site-packages"
    for distribution in distributions:
        _copy_distribution(distribution, target)
    _copy_package(installed.package, PACKAGES[kind], target / "corral")
    _compile(target, rootfs)
    _copy_libraries(sorted(target.glob("**/*.so*")), rootfs, target)
    (rootfs / "opt/python/bin" / load_policy(kind).title).symlink_to("python3")
    inside = target.relative_to(rootfs / "opt/python") / "corral/jail/entry_unsafe.py"
    (rootfs / "opt/python/jail.py").symlink_to(inside)
    (rootfs / "opt/python/sealed.json").write_text(sealed_document(kind))
    (building / "complete").touch()
    _publish(building, image)
    return image / "rootfs"


def remove_stale(images: Path, installed: Installation) -> None:
    """Remove images of other versions, and what builds that were interrupted have left.

    Images of every kind of this version stay: a command may be using one right now.
    """
    kept = {_base_folder(images)}
    for kind, names in DISTRIBUTIONS.items():
        with suppress(SandboxError):  # the guard's packages may be missing: there is no image then
            found = list(_closure(names, installed.site))
            kept.add(_image_folder(kind, images, installed, found))
    for folder in images.iterdir():
        builder = folder.name.rpartition(".")[2] if folder.name.startswith(".") else ""
        if folder not in kept and not Path(f"/proc/{builder or 'none'}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _publish(building: Path, image: Path) -> None:
    try:
        building.rename(image)
    except OSError:  # another process has built the same image meanwhile
        shutil.rmtree(building, ignore_errors=True)
        if not (image / "complete").exists():
            raise


def _build_base(images: Path) -> Path:
    prefix = Path(sys.base_prefix)
    base = _base_folder(images)
    if (base / "complete").exists():
        return base / "rootfs"
    building = images / f".{base.name}.{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    rootfs = building / "rootfs"
    for name in _MOUNT_POINTS:
        (rootfs / name).mkdir(parents=True)
    for name in _EMPTY_FILES:
        (rootfs / name).touch()
    python = rootfs / "opt/python/bin"
    python.mkdir(parents=True)
    interpreter = Path(sys.executable).resolve()
    shutil.copy2(interpreter, python / "python3")
    stdlib = Path(sysconfig.get_path("stdlib", vars={"installed_base": str(prefix)}))
    target = rootfs / "opt/python/lib" / f"python3.{sys.version_info.minor}"
    shutil.copytree(stdlib, target, ignore=_unwanted, symlinks=False)
    _compile(target, rootfs)
    (target / "site-packages").mkdir(exist_ok=True)
    (target / "dist-packages").symlink_to("site-packages")  # where Debian's interpreter looks
    _copy_libraries([interpreter, *sorted(target.glob("**/*.so*"))], rootfs, target)
    _open_modes(building)
    (building / "complete").touch()
    _publish(building, base)
    return base / "rootfs"


def _compile(target: Path, rootfs: Path) -> None:
    import compileall  # slow to import, and needed only by a build
    import py_compile

    compileall.compile_dir(
        str(target), quiet=2, stripdir=str(rootfs), workers=1,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip


def _unwanted(folder: str, names: list[str]) -> set[str]:
    gone = {n for n in names if n in _UNWANTED or n.startswith("config-") or n.endswith(".a")}
    return gone | {n for n in names if not Path(folder, n).exists()}  # dangling links


def _open_modes(root: Path) -> None:
    # The jail's mapped id must read and traverse; nothing is writable for it anyway.
    for folder, _, files in os.walk(root):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _link_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=os.link, symlinks=True)


def _base_folder(images: Path) -> Path:
    digest = hashlib.sha256(f"7 {sys.version} {sys.base_prefix} {_system_state()}".encode())
    return images / f"base-{digest.hexdigest()[:16]}"


def _image_folder(
    kind: str,
    images: Path,
    installed: Installation,
    found: list[Path],
) -> Path:
    package = installed.package
    digest = hashlib.sha256(f"{kind} {platform.machine()} {_base_folder(images).name}".encode())
    for distribution in found:
        digest.update(f"{distribution.name}\n".encode())
    digest.update(sealed_document(kind).encode())
    sources = [package / name for name in PACKAGES[kind]]
    for file in [package / "__init__.py", *(f for s in sources for f in sorted(s.rglob("*")))]:
        if file.is_file() and file.suffix != ".pyc":
            digest.update(f"{file.relative_to(package)}\n".encode())
            digest.update(file.read_bytes())
    return images / f"{kind}-{digest.hexdigest()[:16]}"


def _system_state() -> list[tuple[str, int, int]]:
    # Both change with every update of the interpreter or of a system library, so that an image
    # never keeps a library that the host has patched.
    state = []
    for path in (Path(sys.executable).resolve(), Path("/etc/ld.so.cache")):
        facts = path.stat()
        state.append((str(path), facts.st_size, facts.st_mtime_ns))
    return state


def _closure(names: Iterable[str], site: Path) -> Iterator[Path]:
    """Yield `NAME-VERSION.dist-info` of each distribution that is needed.

    At every start of a server, hence without `importlib.metadata`, which reads what it need not.
    Format: packaging.python.org/specifications/recording-installed-packages and core-metadata.
    """
    found = {_canonical(path.name.partition("-")[0]): path for path in site.glob("*.dist-info")}
    waiting, seen = list(names), set[str]()
    while waiting:
        name = _canonical(waiting.pop(0))
        if name in seen or name in _NOT_USED:
            continue
        seen.add(name)
        distribution = found.get(name)
        if distribution is None:
            if name in map(_canonical, names):
                raise SandboxError("image_incomplete", f"the package {name} is not installed")
            continue  # a requirement for another platform or Python version
        yield distribution
        waiting += [
            re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
            for line in _requirements(distribution)
            if "extra ==" not in line
        ]


def _requirements(distribution: Path) -> Iterator[str]:
    head = (distribution / "METADATA").read_text(encoding="utf-8").partition("\n\n")[0]
    for line in head.splitlines():
        if line.startswith("Requires-Dist: "):
            yield line.removeprefix("Requires-Dist: ")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _copy_distribution(folder: Path, target: Path) -> None:
    from importlib.metadata import Distribution  # slow to import, and needed only by a build

    distribution = Distribution.at(folder)
    for file in distribution.files or ():
        if file.parts[0] == ".." or "__pycache__" in file.parts or file.suffix == ".pyc":
            continue
        source = Path(str(distribution.locate_file(file)))
        destination = target / file
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)
        destination.chmod(0o644)


def _copy_package(package: Path, parts: tuple[str, ...], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(package / "__init__.py", target / "__init__.py")
    for part in parts:
        shutil.copytree(
            package / part, target / part, copy_function=shutil.copyfile,
            ignore=shutil.ignore_patterns("__pycache__"),
        )  # fmt: skip
    _open_modes(target)


def _copy_libraries(binaries: list[Path], rootfs: Path, inside: Path) -> None:
    libraries = [li for li in list_libraries(binaries) if not li.is_relative_to(inside)]
    system = next((li.parent for li in libraries if li.name == "libc.so.6"), None)
    for library in libraries:
        # An interpreter's own library folder names the host's; the loader's default one does not.
        known = library.is_relative_to("/lib") or library.is_relative_to("/usr/lib")
        neutral = known or library.is_relative_to("/lib64")
        place = library if neutral or system is None else system / library.name
        target = rootfs / place.relative_to("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(library.resolve(), target)
            target.chmod(0o755)
