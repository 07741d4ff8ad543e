"""llama.cpp behind the worker's driver, in the process of a test, with what it makes of texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corral.engine.drivers.interface import EngineOptions
from corral.engine.drivers.xllamacpp import XllamacppEngine

Messages = list[dict[str, Any]]


def chat(*turns: tuple[str, str]) -> Messages:
    """Return a conversation of roles and texts."""
    return [{"role": role, "content": text} for role, text in turns]


class CagedEngine:
    """The engine as a worker has it. One at a time: its listener has one name."""

    def __init__(
        self, model: Path, template: str, context_tokens: int = 2048, projector: str = ""
    ) -> None:
        self.engine = XllamacppEngine()
        options = EngineOptions(
            model_path=str(model), context_tokens=context_tokens, parallel=1, threads=2,
            template=template,
        )  # fmt: skip
        options.projector = projector
        self.engine.load(options)
        self.prompts = self.engine._prompts
        self.literals = [text.decode("utf-8", "replace") for text in self.prompts._texts.values()]

    def vocabulary(self) -> list[str]:
        """Return the texts of all tokens."""
        every = self.engine._tokeniser.special(-1)
        return [text.decode("utf-8", "replace") for _, text, _ in every]

    def of_text(self, text: str) -> list[int]:
        """Return the ids of a text to continue, without what the vocabulary puts before it."""
        return self.prompts.of_text(text)[len(self.prompts._before) :]

    def close(self) -> None:
        """End its threads and its listener."""
        del self.engine._server

    def ids(self, messages: Messages) -> list[int]:
        neutral = self.engine._rendered(self.prompts.neutral(messages))
        return self.prompts.of_chat(messages, neutral, self.engine._rendered(messages))

    def naive(self, messages: Messages) -> list[int]:
        """Return what the engine makes of a conversation by itself."""
        prompt = self.engine._rendered(messages)
        return self.engine._tokeniser.ids(prompt, add_special=True, parse_special=True)

    def barred(self, ids: list[int]) -> list[int]:
        return [number for number in ids if number in self.prompts.barred]

    def answer(
        self, messages: Messages, *, media: Sequence[str] = (), **options: Any
    ) -> tuple[str, dict[str, Any]]:
        said: list[dict[str, Any]] = []

        def take(raw: bytes) -> bool:
            said.append(json.loads(raw))
            return False

        body = {"messages": messages, "temperature": 0, "top_k": 1, "max_tokens": 1, **options}
        self.engine.chat(body, list(media), take)
        choice = said[-1]["choices"][0]
        text = choice["message"]["content"] if media else choice["text"]
        return text, said[-1]["usage"]
