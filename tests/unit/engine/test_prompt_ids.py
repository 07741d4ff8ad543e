"""Token ids of prompts, with a tokeniser of Python that does as llama.cpp's; hostile contents.

The real tokeniser and real templates: tests/security/isolation/test_special_tokens.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.engine.prompt_ids import PromptError, PromptIds

CONTROL, USER_DEFINED, LSTRIP, RSTRIP = 8, 16, 128, 256
WORD = "f" * 32
TOKENS = {
    1: ("<s>", CONTROL), 2: ("<|im_start|>", CONTROL), 3: ("<|im_end|>", CONTROL),
    4: ("<think>", USER_DEFINED), 5: ("  ", USER_DEFINED),
    6: ("<|strip|>", CONTROL | RSTRIP | LSTRIP),
    7: ("#", USER_DEFINED), 8: ("<<", USER_DEFINED), 9: ("<unk>", 1),
}  # fmt: skip
PIECES = st.sampled_from([
    "<|im_start|>", "<|im_end|>", "<think>", "<thi", "nk>", "<", "|im_", "end|>", "  ", " ", "\n",
    "#", "<s>", "a", "\u00e9", "\uff1c", "<|strip|>", "user", "<<", "<unk>", "0z", "\u200b",
])  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map("".join)
ROLES = st.sampled_from(["system", "user", "assistant"])
CHATS = st.lists(st.tuples(ROLES, TEXTS), min_size=1, max_size=5).map(
    lambda turns: [{"role": role, "content": text} for role, text in turns]
)

Messages = list[dict[str, Any]]
Template = Callable[[Messages], str]


class Tokeniser:
    """One id for each byte, from 1000 on, and the special tokens as llama.cpp finds them."""

    def __init__(self, *, bos: int | None = 1, merging: str = "") -> None:
        self._bos = bos
        self._merging = merging.encode()

    def special(self, kinds: int) -> list[tuple[int, bytes, int]]:
        return [(n, t.encode(), a) for n, (t, a) in TOKENS.items() if a & kinds]

    def ids(self, text: bytes, *, add_special: bool = False, parse_special: bool) -> list[int]:
        parts: list[bytes | int] = [text]
        for number, (literal, attributes) in sorted(
            TOKENS.items(), key=lambda one: -len(one[1][0])
        ):
            if not parse_special and not attributes & USER_DEFINED:
                continue
            parts = [
                new for part in parts for new in self._split(part, literal, number, attributes)
            ]
        ids = [self._bos] if add_special and self._bos is not None else []
        for part in parts:
            ids += [part] if isinstance(part, int) else self._words(part)
        return ids

    @staticmethod
    def _split(part: bytes | int, literal: str, number: int, kind: int) -> list[bytes | int]:
        if isinstance(part, int):
            return [part]
        first, *others = part.split(literal.encode())
        texts = [first, *others]
        found: list[bytes | int] = []
        for index, one in enumerate(texts):
            cut = one.lstrip() if index and kind & RSTRIP else one
            cut = cut.rstrip() if index < len(others) and kind & LSTRIP else cut
            found += [number] if index else []
            found += [cut] if cut else []
        return found

    def _words(self, text: bytes) -> list[int]:
        """A hostile vocabulary: its merges make a control token of plain text."""
        if self._merging and self._merging in text:
            before, _, after = text.partition(self._merging)
            return [*self._words(before), 3, *self._words(after)]
        return [1000 + byte for byte in text]


def chatml(messages: Messages) -> str:
    turns = [f"<|im_start|>{one['role']}\n{one['content']}<|im_end|>\n" for one in messages]
    return "<s>" + "".join(turns) + "<|im_start|>assistant\n"


def trimming(messages: Messages) -> str:
    return chatml([{**one, "content": one["content"].strip(" \t\n\v\f\r")} for one in messages])


def stripping(messages: Messages) -> str:
    return "".join(f" <|strip|> {one['content']} " for one in messages)


def without_thoughts(messages: Messages) -> str:
    return chatml([{**one, "content": one["content"].split("nk>")[-1]} for one in messages])


def shouting(messages: Messages) -> str:
    return chatml([{**one, "content": one["content"].upper()} for one in messages])


def joining(messages: Messages) -> str:
    return "".join(f"<|im_{one['content']}|><|im_end|>" for one in messages)


def twice(messages: Messages) -> str:
    return "".join(f"{one['content']}{one['content']}<|im_end|>" for one in messages)


KNOWN = [chatml, trimming, stripping, joining, twice]
STRANGE = [without_thoughts, shouting]


def made(template: Template, messages: Messages, **options: Any) -> tuple[list[int], PromptIds]:
    prompts = PromptIds(Tokeniser(**options), WORD)
    neutral = template(prompts.neutral(messages)).encode()
    return prompts.of_chat(messages, neutral, template(messages).encode()), prompts


def barred(ids: list[int]) -> list[int]:
    return [number for number in ids if number in {1, 2, 3, 4, 6, 8}]


def spelt(ids: list[int]) -> str:
    """What a model reads."""
    return b"".join(
        bytes([number - 1000]) if number >= 1000 else TOKENS[number][0].encode() for number in ids
    ).decode()


@pytest.mark.claim("TXT-06")
@pytest.mark.parametrize("template", KNOWN)
@given(CHATS)
def test_no_content_becomes_a_control_token(template: Template, messages: Messages) -> None:
    ids, _ = made(template, messages)
    harmless = [{**one, "content": "x" if one["content"] else ""} for one in messages]
    prompt = template(harmless).removeprefix("<s>").encode()
    assert barred(ids) == barred(Tokeniser().ids(prompt, add_special=True, parse_special=True))


@pytest.mark.claim("TXT-06")
@pytest.mark.parametrize("template", [chatml, trimming, joining, twice])
@given(CHATS)
def test_the_model_reads_every_character(template: Template, messages: Messages) -> None:
    ids, _ = made(template, messages)
    assert spelt(ids) == "<s>" * (template not in {chatml, trimming}) + template(messages)


@pytest.mark.claim("TXT-07")
@pytest.mark.parametrize("template", [*KNOWN, without_thoughts])
@given(st.lists(st.tuples(ROLES, st.text("abc \n<>|\u00e9#", max_size=9)), min_size=1, max_size=4))
def test_ordinary_conversations_have_the_engines_own_ids(
    template: Template, turns: list[tuple[str, str]]
) -> None:
    messages = [{"role": role, "content": text} for role, text in turns]
    prompt = template(messages).encode()
    if b"<<" in prompt:
        return
    ids, _ = made(template, messages)
    # The engine takes away what the vocabulary puts in front anyway.
    assert ids == Tokeniser().ids(prompt.removeprefix(b"<s>"), add_special=True, parse_special=True)


@pytest.mark.claim("TXT-08")
@pytest.mark.parametrize("template", STRANGE)
@given(CHATS)
def test_a_template_that_looks_into_contents_is_proved_or_refused(
    template: Template, messages: Messages
) -> None:
    naive = [{**one, "content": "x" if one["content"] else ""} for one in messages]
    expected = barred(made(chatml, naive)[0])
    try:
        ids, _ = made(template, messages)
    except PromptError:
        assert any(word in one["content"] for one in messages for word in ("<", "nk>"))
    else:
        assert barred(ids) == expected


@pytest.mark.claim("TXT-08")
def test_what_such_a_template_drops_does_no_harm() -> None:
    said = [{"role": "assistant", "content": "<think>hm<think> so"}]
    assert spelt(made(without_thoughts, said)[0]).endswith("<|im_start|>assistant\n")
    assert spelt(made(shouting, [{"role": "user", "content": "<think>hm"}])[0]).count("<THINK>HM")
    for template, content in ((shouting, "<s>nk>a"), (without_thoughts, "nk>a<<b")):
        with pytest.raises(PromptError):
            made(template, [{"role": "user", "content": content}])


@pytest.mark.claim("TXT-06")
@given(TEXTS)
def test_a_text_to_continue_has_no_control_token_but_the_first(text: str) -> None:
    ids = PromptIds(Tokeniser(), WORD).of_text(text)
    assert barred(ids) == [1]
    assert spelt(ids) == "<s>" + text
    naive = Tokeniser().ids(text.encode(), add_special=True, parse_special=True)
    # The control: the engine's own way parses them.
    assert (barred(naive) == [1]) == (not any(TOKENS[n][0] in text for n in (1, 2, 3, 4, 6, 8)))


@pytest.mark.claim("TXT-08")
def test_a_vocabulary_that_merges_plain_text_to_a_control_token_is_found_out() -> None:
    hostile = PromptIds(Tokeniser(merging="hello"), WORD)
    with pytest.raises(PromptError):
        hostile.of_text("oh hello there")
    with pytest.raises(PromptError):
        made(chatml, [{"role": "user", "content": "hello"}], merging="hello")
    # Where the merged text is the token's own, it is cut.
    spelt_out = PromptIds(Tokeniser(merging="<|im_end|>"), WORD).of_text("a<|im_end|>b")
    assert spelt(spelt_out) == "<s>a<|im_end|>b"
    assert barred(spelt_out) == [1]


@pytest.mark.claim("TXT-08")
def test_a_content_with_the_word_of_this_worker_is_refused() -> None:
    with pytest.raises(PromptError):
        made(chatml, [{"role": "user", "content": f"a{WORD}0z"}])


@pytest.mark.claim("TXT-08")
@pytest.mark.parametrize("role", ["", "user<|im_end|>", "a b", "\u0430", "x\n"])
def test_a_role_is_a_word(role: str) -> None:
    with pytest.raises(PromptError):
        made(chatml, [{"role": role, "content": "a"}])


def test_a_template_that_forges_the_neutral_words_is_strange_to_us() -> None:
    for forged in (f"{WORD}7z", f"{WORD}z", f"{WORD}-1z"):

        def template(messages: Messages, forged: str = forged) -> str:
            return chatml(messages) + (forged if WORD in messages[0]["content"] else "ok")

        ids, _ = made(template, [{"role": "user", "content": "hi"}])
        assert spelt(ids).endswith("assistant\nok")


def test_renderings_of_templates_are_kept_but_not_for_ever() -> None:
    prompts = PromptIds(Tokeniser(), WORD)
    for number in range(1, 1200):
        messages = [{"role": "a" * number, "content": "a"}]
        neutral = chatml(prompts.neutral(messages)).encode()
        prompts.of_chat(messages, neutral, chatml(messages).encode())
    assert len(prompts._parts) <= 512
    assert len(prompts._neutral) <= 512


def test_a_special_token_is_told_from_a_text() -> None:
    prompts = PromptIds(Tokeniser(), WORD)
    assert [prompts.is_special(text) for text in ("<s>", "<think>", "a", "<s>a", "")] == [
        True, True, False, False, False,
    ]  # fmt: skip
