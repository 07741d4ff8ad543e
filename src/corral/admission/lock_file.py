"""`corral.lock`: for each model where it is from, its digests, and who must have signed it.

Trust: operator side. Input: a TOML file that came with somebody's project, at most 4 MiB: read
strictly, an unknown key or a value of another form is an error. What it says can only demand more
of a model, never less; its sources are used by `corral pull --locked` alone.

    version = 1
    [models."smol"]
    source = "hf://ORG/REPO/FILE.gguf@main"   what the operator asked for
    sha256 = "…"                               of the model as the store has it
    size_bytes = 1
    revision = "…"                             commit that was fetched (hf)
    wheel_sha256 = "…"                         (pypi)
    manifest_sha256 = "…"                      (ollama, oci)
    parts_sha256 = ["…", "…"]                  of the files that it was joined of, in their order
    signed_by = { name = "…", kind = "key", fingerprint = "sha256:…" }
"""

from __future__ import annotations

import fcntl
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from corral.admission.signing.signer import SignerKind
from corral.core.errors import CorralError
from corral.core.ids import parse_model_name
from corral.pki.atomic import write_atomically

DEFAULT: Final = "corral.lock"
_BYTES: Final = 4 << 20
_HEADER: Final = (
    "# Written by corral pull and corral lock. Keep it with your project:\n"
    "# corral pull --locked gets exactly these models, or none.\n"
)

_Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Text = Annotated[str, Meta(min_length=1, max_length=2048)]
_Bytes = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class LockedSigner(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who must have signed a model.

    Attributes:
        name: of the signer in `[trust.signers]`.
        kind: how that signer is known.
        fingerprint: of the key that made the signature; absent for Sigstore, whose keys live for
            minutes.
        identity: name in the certificate; absent for a bare key.
        signature: signature file that the operator named, relative to the lock file.
        signed_name: what the model was called when it was signed, if the operator said so.
    """

    name: _Text
    kind: SignerKind
    fingerprint: Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")] | None = None
    identity: _Text | None = None
    signature: _Text | None = None
    signed_name: _Text | None = None


class LockedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model; see the module's head."""

    source: _Text
    sha256: _Hex
    size_bytes: _Bytes
    revision: Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,64}\Z")] | None = None
    wheel_sha256: _Hex | None = None
    manifest_sha256: _Hex | None = None
    parts_sha256: Annotated[tuple[_Hex, ...], Meta(max_length=999)] = ()
    signed_by: LockedSigner | None = None


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lock file's content."""

    version: Literal[1]
    models: dict[str, LockedModel] = {}


def read_lock(path: Path) -> Lock:
    """Return what a lock file says.

    Raises:
        CorralError: codes `lock_missing`, `lock_unreadable`, `lock_malformed`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_BYTES + 1)
    except FileNotFoundError as error:
        raise CorralError(
            "lock_missing",
            "there is no such lock file",
            remedy=f"name it: --lock FILE; to write one: corral pull SOURCE --lock {DEFAULT}",
        ) from error
    except OSError as error:
        raise CorralError("lock_unreadable", "the lock file cannot be read") from error
    return parse_lock(raw)


def parse_lock(raw: bytes) -> Lock:
    """Return what the bytes of a lock file say.

    Raises:
        CorralError: code `lock_malformed`.
    """
    if len(raw) > _BYTES:
        raise _malformed("it is too long")
    try:
        tree = tomllib.loads(raw.decode())
        lock = msgspec.convert(tree, Lock)
        for name in lock.models:
            parse_model_name(name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed("it is not TOML") from error
    except msgspec.ValidationError as error:
        raise _malformed(str(error)) from error
    except CorralError as error:
        raise _malformed("a name in it is no name of a model") from error
    return lock


def format_lock(lock: Lock) -> str:
    """Return the text of a lock file: the same for the same models."""
    parts = [f"{_HEADER}version = {lock.version}\n"]
    for name, model in sorted(lock.models.items()):
        lines = [f"{key} = {_value(value)}" for key, value in _set_fields(model)]
        parts.append(f"[models.{_value(name)}]\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def update_lock(path: Path, models: Mapping[str, LockedModel]) -> None:
    """Put models into a lock file, which is made if it is not there.

    Others of the same folder wait meanwhile, and no reader sees a half.

    Raises:
        CorralError: codes of `read_lock`, `lock_unwritable`.
    """
    with _alone(path.parent):
        lock = read_lock(path) if path.exists() else Lock(1)
        merged = msgspec.structs.replace(lock, models=lock.models | dict(models))
        try:
            write_atomically(path.resolve(), format_lock(merged).encode(), mode=0o644)
        except CorralError as error:
            raise unwritable() from error


def check_writable(path: Path) -> None:
    """Refuse a lock file that could not be written, before anything is fetched for it.

    Raises:
        CorralError: code `lock_unwritable`.
    """
    if path.is_dir() or not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        raise unwritable()


def unwritable() -> CorralError:
    """Return the error of a lock file that cannot be written."""
    return CorralError(
        "lock_unwritable",
        "the lock file cannot be written",
        remedy="name another: --lock FILE; or use none: --no-lock",
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise unwritable() from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _set_fields(value: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for key in value.__struct_fields__:
        found = getattr(value, key)
        if found is not None and found != ():
            yield key, found


def _value(value: object) -> str:
    """Return a TOML value; a JSON string without escaped surrogates is a TOML basic string."""
    if isinstance(value, msgspec.Struct):
        inside = ", ".join(f"{key} = {_value(one)}" for key, one in _set_fields(value))
        return f"{{ {inside} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, int):
        return str(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _malformed(why: str) -> CorralError:
    shown = "".join(c if c.isprintable() else "?" for c in why)[:200]
    return CorralError(
        "lock_malformed",
        f"the lock file cannot be used: {shown}",
        remedy="take it from version control again, or write a new one with corral lock",
    )
