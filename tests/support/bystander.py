"""Another tenant's streams, all the time something bad happens to somebody else."""

from __future__ import annotations

import threading
from typing import Self

import openai

from tests.support.server import MODEL, RunningServer


class Bystander:
    """Asks the same again and again at temperature 0.

    Attributes:
        failures: what went wrong for it; should stay empty.
        texts: the answers; should stay one.
    """

    def __init__(self, server: RunningServer, key: str) -> None:
        self.failures: list[str] = []
        self.texts: set[str] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(server, key))

    def _run(self, server: RunningServer, key: str) -> None:
        client = server.openai(key)
        while True:  # once at least, however late this thread comes to run
            try:
                stream = client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": "Count to ten."}],
                    max_tokens=24, temperature=0, stream=True,
                )  # fmt: skip
                self.texts.add(
                    "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
                )
            except openai.OpenAIError as error:
                self.failures.append(repr(error))
            if self._end.is_set():
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(120)
