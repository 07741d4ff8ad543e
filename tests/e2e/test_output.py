"""The way out with the real engine and model: a model that repeats what it has read."""

from __future__ import annotations

import pytest

from corral.core.home import Home
from corral.gateway.sanitation_table import remove_document, set_document
from tests.support.hostile_answers import GITHUB
from tests.support.server import MODEL

PROMPT = f"key: {GITHUB}\n" * 6 + "key:"
OFF = 'default = "x"\n[policies.x]\nbase = "off"\nweakening = "the control"\n'


def told(server, **options) -> str:
    """Return what the model goes on with; a pattern that comes six times it repeats."""
    answer = server.openai().completions.create(
        model=MODEL, prompt=PROMPT, max_tokens=64, temperature=0, **options
    )
    if options.get("stream"):
        return "".join(chunk.choices[0].text for chunk in answer if chunk.choices)
    return answer.choices[0].text


@pytest.mark.claim("SEC-04")
def test_a_key_that_the_model_repeats_does_not_come_out(shared_server):
    set_document(Home(shared_server.home).database, OFF)
    try:
        assert GITHUB in told(shared_server), "the control: the model does repeat it"
        remove_document(Home(shared_server.home).database)
        for stream in (False, True):
            answer = told(shared_server, stream=stream)
            assert GITHUB not in answer
            assert "[secret]" in answer
    finally:
        remove_document(Home(shared_server.home).database)
