"""Lock a stream of bytes by a passphrase or to age recipients, and open it again.

Trust: operator side. Input of opening: a file that anybody may have written.

The content is always an age v1 stream, of `pyrage`, Rust's age (https://age-encryption.org/v1:
STREAM over ChaCha20-Poly1305, Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015), in chunks of
64 KiB: memory is bounded, and a stream that was cut, reordered or lengthened does not open.
To recipients, the file is nothing else, and `age -d -i KEY FILE | tar x` opens it too.
By a passphrase, an age identity made for this file alone stands before the stream, wrapped
(`pki.passphrase`):

    16 bytes   MAGIC
    119 bytes  the identity (74 bytes of text), wrapped
    rest       age stream to that identity alone

Nobody but who knows the passphrase knows even the public half of that identity, so nobody else can
make a file that opens with it. To recipients this is not so: anybody can write to a public key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO, Final

import pyrage
from pyrage.x25519 import Identity, Recipient

from corral.core.errors import CorralError
from corral.pki.passphrase import OVERHEAD, Passphrase, unwrap_secret, wrap_secret

MAGIC: Final = b"corral backup 1\n"
_IDENTITY: Final = 74
_HEAD: Final = len(MAGIC) + _IDENTITY + OVERHEAD


Lock = Passphrase | Sequence[Recipient]
Opener = Passphrase | Sequence[Identity]


class _Side:
    """A file given to the library, which turns each error of ours into its own: kept here."""

    def __init__(self) -> None:
        self.error: BaseException | None = None


class _Source(_Side):
    def __init__(self, blocks: Iterable[bytes]) -> None:
        super().__init__()
        self._blocks = iter(blocks)
        self._left = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        try:
            while not self._left:
                block = next(self._blocks, None)
                if block is None:
                    return b""
                self._left = memoryview(block)
        except BaseException as error:
            self.error = error
            raise
        taken = self._left[:size] if size >= 0 else self._left
        self._left = self._left[len(taken) :]
        return bytes(taken)


class _Sink(_Side):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except BaseException as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def lock_stream(blocks: Iterable[bytes], file: BinaryIO, lock: Lock) -> None:
    """Write what `blocks` yields to `file`, locked.

    Raises:
        OSError: the file cannot be written; and whatever `blocks` raises.
    """
    if isinstance(lock, Passphrase):
        identity = Identity.generate()
        file.write(_wrap(identity, lock))
        recipients: Sequence[Recipient] = (identity.to_public(),)
    else:
        recipients = lock
    source, sink = _Source(blocks), _Sink(file)
    try:
        pyrage.encrypt_io(source, sink, recipients)  # type: ignore[arg-type]  # duck-typed files
    except Exception:
        for side in (source, sink):
            if side.error is not None:
                raise side.error from None
        raise
    file.flush()


def open_stream(file: BinaryIO, plain: BinaryIO, opener: Opener) -> None:
    """Write what is locked in `file` to `plain`; not all of it is true until this returns.

    Raises:
        CorralError: codes `backup_wrong_key` (or the head was changed), `backup_damaged`,
            `backup_unreadable` (no such file of ours, or locked the other way).
        OSError: the file cannot be read, or `plain` not written.
    """
    head = file.read(_HEAD)
    if isinstance(opener, Passphrase):
        if not head.startswith(MAGIC):
            raise CorralError(
                "backup_unreadable",
                "this is no backup that a passphrase opens",
                remedy="name its key with --identity-file if it was made with --recipient",
            )
        identities: Sequence[Identity] = (_unwrap(head, opener),)
    else:
        if head.startswith(MAGIC):
            raise CorralError(
                "backup_unreadable",
                "this backup was locked by a passphrase",
                remedy="leave --identity-file out",
            )
        identities = opener
        file.seek(0)
    source, sink = _Source(iter(lambda: file.read(1 << 16), b"")), _Sink(plain)
    try:
        pyrage.decrypt_io(source, sink, identities)  # type: ignore[arg-type]  # duck-typed files
    except Exception as error:
        for side in (source, sink):
            if side.error is not None:
                raise side.error from None
        if isinstance(error, pyrage.DecryptError) and not isinstance(opener, Passphrase):
            raise _wrong() from None
        raise CorralError(
            "backup_damaged",
            "the backup is damaged, cut off or was changed; nothing of it is used",
            remedy="take another copy of it",
        ) from None
    plain.flush()


def _wrap(identity: Identity, lock: Passphrase) -> bytes:
    return wrap_secret(MAGIC, str(identity).encode(), lock)


def _unwrap(head: bytes, opener: Passphrase) -> Identity:
    try:
        text = unwrap_secret(MAGIC, head if len(head) == _HEAD else b"", opener)
    except ValueError:
        raise CorralError(
            "backup_damaged", "the head of the backup is damaged or cut off"
        ) from None
    if text is None:
        raise _wrong()
    return Identity.from_str(text.decode("ascii"))


def _wrong() -> CorralError:
    return CorralError(
        "backup_wrong_key",
        "this passphrase or key does not open the backup, or the head of it was changed",
        remedy="try the passphrase or key that it was made with",
    )
