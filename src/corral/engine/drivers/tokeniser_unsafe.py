"""The engine's own tokeniser, which its Python interface does not offer.

Trust: jail zone. Input: the engine's library and vocabulary, hostile once a model is open.

`llama_tokenize` is a C function of the engine's public interface; what it needs is the vocabulary
of the loaded model, and nothing hands that out. So the address is taken where the engine itself
says it, once, while nothing else runs: for one request, the entry of the library's table of links
by which it calls `llama_tokenize` leads to `ggml_set_abort_callback`, a function of the engine that
keeps its first argument, gives back what it kept before, and does nothing else. For the engine that
text then has no tokens (docs/adr/0026-content-is-never-parsed.md).

Sources: llama.h (`llama_tokenize`, `llama_vocab_*`), ggml.h, the ELF specification (dynamic
section, relocations), `link_map` in glibc's link.h.
"""

from __future__ import annotations

import ctypes
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

_END: Final = 0
_LINKS_BYTES: Final = 2
_SYMBOLS: Final = 6
_LINKS: Final = 23
_BIND_NOW: Final = 24
_FLAGS: Final = 30
_FLAGS_1: Final = 0x6FFFFFFB
"""Tags of a dynamic section."""
_SYMBOL_BYTES: Final = 24
_TOO_MANY: Final = -(1 << 31)
"""What `llama_tokenize` returns for a text of more tokens than it can count."""


class _LinkMap(ctypes.Structure):
    _fields_ = (
        ("base", ctypes.c_size_t), ("name", ctypes.c_char_p), ("dynamic", ctypes.c_size_t),
    )  # fmt: skip


class Tokeniser:
    """The tokeniser of one engine.

    Args:
        library: file of the engine's extension module, which is loaded already.

    Raises:
        ImportError: the library is linked in another way than this was written for.
    """

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        self._vocabulary = 0
        for name, result, *arguments in (
            ("llama_tokenize", ctypes.c_int32, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_int32,
             ctypes.c_void_p, ctypes.c_int32, ctypes.c_bool, ctypes.c_bool),
            ("llama_vocab_n_tokens", ctypes.c_int32, ctypes.c_size_t),
            ("llama_vocab_get_text", ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32),
            ("llama_vocab_get_attr", ctypes.c_int, ctypes.c_size_t, ctypes.c_int32),
            ("ggml_set_abort_callback", ctypes.c_size_t, ctypes.c_size_t),
        ):  # fmt: skip
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self._tokenise = self._library.llama_tokenize
        self._link = _link(self._library, _address(self._tokenise))

    def learn(self, run: Callable[[], Any]) -> None:
        """Find the vocabulary of the model that is loaded.

        Args:
            run: makes the engine tokenise any text, and nothing else.

        Raises:
            ImportError: the engine did not.
        """
        link = ctypes.c_size_t.from_address(self._link)
        keep = self._library.ggml_set_abort_callback
        before = keep(0)
        # SAFETY: the link is a pointer in a writable page of a library that is never unloaded, and
        # only the thread that answers `run` goes by it. `keep` takes the first of the arguments
        # and leaves the others alone, and what it returns is null: no token.
        link.value = _address(keep)
        try:
            run()
        finally:
            link.value = _address(self._tokenise)
            self._vocabulary = keep(before)
        if not self._vocabulary:
            raise ImportError("the engine calls its tokeniser in another way")

    def ids(self, text: bytes, *, add_special: bool = False, parse_special: bool) -> list[int]:
        """Return the tokens of a text.

        Args:
            text: UTF-8.
            add_special: with what the vocabulary puts before and behind every text.
            parse_special: texts of control tokens become these tokens; those of user-defined ones
                do in any case.

        Raises:
            ValueError: the engine cannot.
        """
        room = len(text) + 8
        for _ in range(2):
            found = (ctypes.c_int32 * room)()
            # SAFETY: the function reads `len(text)` bytes and writes at most `room` numbers; the
            # vocabulary lives as long as the engine, which is never unloaded.
            count = self._tokenise(
                self._vocabulary, text, len(text), ctypes.addressof(found), room,
                add_special, parse_special,
            )  # fmt: skip
            if count >= 0:
                return found[:count]
            if count == _TOO_MANY:
                break
            room = -count
        raise ValueError("the text cannot be tokenised")

    def special(self, kinds: int) -> list[tuple[int, bytes, int]]:
        """Return id, text and attributes of every token with one of the attributes `kinds`."""
        vocabulary, attributes = self._vocabulary, self._library.llama_vocab_get_attr
        # SAFETY: every id is below the size of the vocabulary.
        count = self._library.llama_vocab_n_tokens(vocabulary)
        found = ((number, attributes(vocabulary, number)) for number in range(count))
        return [
            (number, self._library.llama_vocab_get_text(vocabulary, number), attribute)
            for number, attribute in found
            if attribute & kinds
        ]


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _link(library: ctypes.CDLL, address: int) -> int:
    """Return where the library keeps the address by which it calls a function of its own."""
    # SAFETY: the handle of a loaded library is its link_map; its dynamic section ends with a tag 0
    # and gives the addresses and sizes of the tables that are read here.
    link = _LinkMap.from_address(library._handle)  # noqa: SLF001 - ctypes names the handle nowhere else
    tags: dict[int, int] = {}
    place = link.dynamic
    while True:
        tag, value = struct.unpack("=qQ", ctypes.string_at(place, 16))
        if tag == _END:
            break
        tags[tag] = value
        place += 16
    if _BIND_NOW in tags or tags.get(_FLAGS, 0) & 8 or tags.get(_FLAGS_1, 0) & 1:
        raise ImportError("the engine's links cannot be written")
    entries = struct.iter_unpack("=QQq", ctypes.string_at(tags[_LINKS], tags[_LINKS_BYTES]))
    found = [
        link.base + offset
        for offset, info, _ in entries
        if link.base + _symbol(tags[_SYMBOLS], info >> 32) == address
    ]
    if len(found) != 1:
        raise ImportError("the engine calls its tokeniser in another way")
    return int(found[0])


def _symbol(table: int, number: int) -> int:
    (value,) = struct.unpack("=Q", ctypes.string_at(table + number * _SYMBOL_BYTES + 8, 8))
    return int(value)
