"""llama.cpp without corral's worker, as the wheel gives it, and what it makes of prompts.

Trust: tests only. The engine's calls of `llama_tokenize` go through a function of ours, which
notes what comes in and what goes out and changes nothing.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xllamacpp.xllamacpp as engine

from corral.engine.drivers import tokeniser_unsafe

_TOKENISE = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p,
    ctypes.c_int32, ctypes.c_bool, ctypes.c_bool,
)  # fmt: skip


class BareEngine:
    """One server of the engine's own.

    Attributes:
        prompts: text and tokens of each prompt that it was asked.
        parts: likewise, of each text before, between and behind images.
    """

    def __init__(
        self, model: Path, template: str, *, context_tokens: int = 2048, projector: str = ""
    ) -> None:
        params = engine.CommonParams()
        params.model.path = str(model)
        params.chat_template = template
        params.use_jinja = True
        if projector:
            params.mmproj.path = projector
        params.n_ctx = context_tokens
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
        params.hostnames = [f"@bare-{id(self)}.sock"]
        params.warmup = False
        params.verbosity = 1
        params.force_pure_content_parser = True
        params.cache_ram_mib = 0
        self._server = engine.Server(params)
        self.prompts: list[tuple[bytes, list[int]]] = []
        self.parts: list[tuple[bytes, list[int]]] = []

    def close(self) -> None:
        """End its threads."""
        del self._server

    def chat(self, messages: list[dict[str, Any]], **options: Any) -> str:
        """Return the answer to a conversation, most probable tokens only."""
        body = {"messages": messages, "temperature": 0, "top_k": 1, "max_tokens": 1, **options}
        said: list[bytes] = []
        with self._noting():
            self._server.handle_chat_completions(json.dumps(body).encode(), said.append)
        return str(json.loads(said[-1])["choices"][0]["message"]["content"])

    def complete(self, prompt: str, **options: Any) -> str:
        """Return how a text goes on, most probable tokens only."""
        body = {"prompt": prompt, "temperature": 0, "top_k": 1, "max_tokens": 1, **options}
        said: list[bytes] = []
        self._server.handle_completions(json.dumps(body).encode(), said.append)
        return str(json.loads(said[-1])["choices"][0]["text"])

    @contextmanager
    def _noting(self) -> Iterator[None]:
        library = ctypes.CDLL(engine.__file__)
        address = ctypes.cast(library.llama_tokenize, ctypes.c_void_p).value or 0
        genuine = _TOKENISE(address)

        def note(
            vocabulary: int, text: int, size: int, out: int, room: int, special: bool, parse: bool
        ) -> int:
            count = int(genuine(vocabulary, text, size, out, room, special, parse))
            if count > 0 and (special or parse):
                ids = list((ctypes.c_int32 * count).from_address(out))
                noted = self.prompts if special else self.parts
                noted.append((ctypes.string_at(text, size), ids))
            return count

        noting = _TOKENISE(note)
        link = ctypes.c_size_t.from_address(tokeniser_unsafe._link(library, address))
        # SAFETY: the function has the type of the one in whose place it is, and outlives its use.
        link.value = ctypes.cast(noting, ctypes.c_void_p).value or 0
        try:
            yield
        finally:
            link.value = address
