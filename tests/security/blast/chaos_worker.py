"""The worker of the chaos test: attacks on request, and for `fake-` tenants a fast engine.

The fast engine stands behind the production `Engine` protocol; wire, jail, worker program, gateway
and launcher are the real ones. Its answer follows from the prompt alone.
"""

import sys
import time

from corral.engine import genuine, hostile
from corral.engine.plain_json import encode


class FakeEngine:
    """Says words that nobody else's prompt gives."""

    name = "fake 1"

    def load(self, _options):  # type: ignore[no-untyped-def]
        pass

    def chat(self, body, _media, on_chunk):  # type: ignore[no-untyped-def]
        said = body["messages"][-1]["content"]
        state = sum(ord(c) * 31**i for i, c in enumerate(said)) % 2147483647
        for _ in range(body["max_tokens"]):
            time.sleep(0.004)
            state = (state * 1103515245 + 12345) % 2147483647
            if on_chunk(encode({"choices": [{"text": f"{state:x} "}]})):
                return
        count = body["max_tokens"]
        last = {
            "choices": [{"text": "", "finish_reason": "length"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": count},
        }
        on_chunk(encode(last))


def main() -> None:
    title = next(a for a in sys.orig_argv if a.startswith("--title="))
    if " fake-" in title or "=fake-" in title:
        genuine.XllamacppEngine = FakeEngine  # type: ignore[misc]
    hostile.main()
