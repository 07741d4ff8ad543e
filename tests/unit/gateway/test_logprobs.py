"""Log-probabilities: no control token in tokens, bytes or alternatives, whatever the borders."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.engine.wire import TokenLogprob, TopLogprob
from corral.gateway.logprobs import LogprobFilter, Logprobs
from corral.guard.output import OutputFilter
from corral.guard.special_tokens import REPLACEMENT, ControlTokens
from tests.unit.gateway.conftest import Served

TOKENS = ControlTokens(("<|im_start|>", "<|im_end|>", "</s>", "]x", "^a", "-b"))
PARTS = ["<|im_", "start|>", "end|>", "<", "/s", ">", "a", "]", "x", "^", "-", "b", "", "\u00e9"]
TEXTS = st.lists(st.lists(st.sampled_from(PARTS), max_size=3).map("".join), min_size=1, max_size=12)


def token(text: str, *others: str, data: bytes | None = None) -> TokenLogprob:
    return TokenLogprob(
        token=text,
        logprob=-0.5,
        bytes=tuple(text.encode() if data is None else data),
        top_logprobs=tuple(
            TopLogprob(token=one, logprob=-0.5, bytes=tuple(one.encode()))
            for one in (text, *others)
        ),
    )


def cleaned(*chunks: Logprobs, tokens: ControlTokens = TOKENS) -> list[TokenLogprob]:
    chances = LogprobFilter(tokens)
    return [one for chunk in chunks for one in chances.feed(chunk)] + list(chances.flush())


@pytest.mark.claim("TXT-02")
@given(TEXTS, st.data())
def test_no_control_token_comes_out_of_tokens_or_bytes(
    texts: list[str], data: st.DataObject
) -> None:
    whole = tuple(token(text, "a", "</s>") for text in texts)
    cut = data.draw(st.integers(0, len(whole)))
    out = cleaned(whole[:cut], whole[cut:])
    assert len(out) == len(texts)
    # The same as the text, to the character.
    output = OutputFilter(TOKENS)
    said = "".join(output.feed(text) for text in texts) + output.flush()
    assert "".join(one.token for one in out) == said == TOKENS.replace("".join(texts))
    assert b"".join(bytes(one.bytes or ()) for one in out) == said.encode()
    first = "".join(one.top_logprobs[0].token for one in out)
    assert first == said, "the alternative that was chosen"
    for one in out:
        for top in one.top_logprobs:
            assert TOKENS.spans(top.token) == []
            assert top.bytes == tuple(top.token.encode())


@pytest.mark.claim("TXT-02")
def test_two_halves_in_two_chunks() -> None:
    chances = LogprobFilter(TOKENS)
    assert [one.token for one in chances.feed((token("so <|im"),))] == []
    out = chances.feed((token("_end|>"), token("!")))
    assert [one.token for one in out] == [f"so {REPLACEMENT}", "", "!"]
    assert [one.bytes for one in out] == [tuple(f"so {REPLACEMENT}".encode()), (), (33,)]
    assert not chances.flush()


@pytest.mark.claim("TXT-02")
def test_an_alternative_is_judged_after_what_was_chosen() -> None:
    out = cleaned((token("<|im", "x"), token("_stop", "_end|>", "_start|>?", "ok")))
    assert [one.token for one in out] == ["<|im", "_stop"]
    assert [top.token for top in out[1].top_logprobs] == [
        "_stop", REPLACEMENT, f"{REPLACEMENT}?", "ok"
    ]  # fmt: skip
    assert out[1].top_logprobs[1].bytes == tuple(REPLACEMENT.encode())


def test_bytes_are_the_tokens_own_or_left_out() -> None:
    """A worker's bytes go out only where they are the token's text: they could be anything."""
    lied, half, plain, none = cleaned((
        token("harmless", data=b"<|im_end|>"),
        token("", data=b"\xf0\x9f"),
        token("\u00e9"),
        TokenLogprob(token="a", logprob=-1.0),
    ))  # fmt: skip
    assert (lied.bytes, half.bytes, none.bytes) == (None, None, None)
    assert plain.bytes == (0xC3, 0xA9)


def test_what_is_harmless_is_not_held_back() -> None:
    chances = LogprobFilter(TOKENS)
    for text in ("hello", " there", "\u00e9", ""):
        assert chances.feed((token(text),)) == (token(text),)
    assert cleaned((token("</s>"),), tokens=ControlTokens(())) == [token("</s>")]


def test_a_long_wait_costs_no_more_for_each_token() -> None:
    chances = LogprobFilter(TOKENS)
    chances.feed((token("<|im"),))
    for _ in range(20_000):
        assert chances.feed((TokenLogprob(token="", logprob=-1.0),)) == ()
    assert len(chances.flush()) == 20_001


@pytest.mark.claim("TXT-02")
@pytest.mark.parametrize("stream", [False, True])
def test_control_tokens_never_come_out_of_log_probabilities(served: Served, stream: bool) -> None:
    """A worker that says `<|im`, `_end`, `|>` as three tokens, with their bytes."""
    chat = {"messages": [{"role": "user", "content": "x"}], "logprobs": True, "top_logprobs": 1}
    with served.http(headers=served.bearer()) as http:
        bodies = [
            http.post(path, json={"model": "special", "stream": stream, **asked}).text
            for path, asked in (
                ("/v1/chat/completions", chat),
                ("/v1/completions", {"prompt": "x", "logprobs": 1}),
            )
        ]
    documents = [
        [json.loads(line.removeprefix("data: ")) for line in body.split("\n\n")
         if line not in ("", "data: [DONE]")] if stream else [json.loads(body)]
        for body in bodies
    ]  # fmt: skip
    content = [
        token for one in documents[0] for choice in one["choices"]
        for token in (choice["logprobs"] or {}).get("content", ())
    ]  # fmt: skip
    said = "a\ufffdb <|im_st"
    assert [one["token"] for one in content] == ["a\ufffd", "", "b <|im_", "st"]
    assert b"".join(bytes(one["bytes"]) for one in content) == said.encode()
    assert [one["top_logprobs"][0]["token"] for one in content] == [t["token"] for t in content]
    found = [choice["logprobs"] for one in documents[1] for choice in one["choices"]]
    tokens = [token for one in found if one for token in one["tokens"]]
    assert tokens == ["a\ufffd", "", "b <|im_", "st"]
    tops = [token for one in found if one for top in one["top_logprobs"] for token in top]
    assert tops == tokens
    assert [n for one in found if one for n in one["text_offset"]] == [0, 2, 2, 9]
