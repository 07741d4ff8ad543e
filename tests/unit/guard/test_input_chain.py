"""The way in: order, refusals, report mode, places of the text as it came."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.guard.finding import Edit, Finding, Handling, Part, Verdict
from corral.guard.input_chain import InputChain, input_chain
from corral.guard.kinds import KINDS
from corral.guard.policy import BASES, SanitationPolicy, built_in
from corral.guard.policy_file import parse_policy_set
from corral.guard.special_tokens import ControlTokens, SpecialTokenStage

TOKENS = ControlTokens(("<|im_end|>", "</s>"))
REPORT = parse_policy_set('default = "r"\n[policies.r]\nbase = "strict"\nmode = "report"').default


def user(*texts: str) -> tuple[Part, ...]:
    return tuple(Part(f"messages[{n}].content", text, "user") for n, text in enumerate(texts))


def test_ordinary_texts_come_out_as_the_same_objects() -> None:
    texts = ("Hello", "x² and <b>")
    cleaned = input_chain(built_in("balanced"), TOKENS).run(user(*texts))
    assert cleaned.refused is None
    assert cleaned.seen == ()
    assert all(a is b for a, b in zip(cleaned.texts, texts, strict=True))
    assert {"text", "special_tokens"} <= set(cleaned.spent_s)


@pytest.mark.claim("SAN-01")
@pytest.mark.parametrize("policy", [*map(built_in, BASES), REPORT], ids=lambda p: p.name)
def test_no_policy_and_no_mode_lets_a_character_pass_that_no_text_has(
    policy: SanitationPolicy,
) -> None:
    cleaned = input_chain(policy, TOKENS).run(user("fine", "a\x00b"))
    assert cleaned.refused is not None
    assert cleaned.refused.param == "messages[1].content"
    assert cleaned.refused.code == "input_rejected.invalid_text"
    assert cleaned.texts == ("fine", "a\x00b")


def test_a_refusal_says_where_and_why_and_nothing_of_the_text() -> None:
    cleaned = input_chain(built_in("strict"), TOKENS).run(user("my secret</s>words"))
    assert cleaned.refused is not None
    assert "character 9" in cleaned.refused.message
    assert not {"secret", "words", "</s>"} & set(cleaned.refused.message.split())


class _Eraser:
    """A stage that takes every `-` out, and reports it."""

    name = "text"

    def look(self, part: Part) -> Verdict:
        places = [n for n, c in enumerate(part.text) if c == "-"]
        return Verdict(
            tuple(Finding("invalid_text", n, n + 1) for n in places),
            tuple(Edit(n, n + 1) for n in places),
        )


def test_places_are_those_of_the_text_as_it_came() -> None:
    policy = built_in("strict")
    cleaning = SanitationPolicy(
        name="c", base="strict", handling={**policy.handling, "invalid_text": Handling.CLEAN}
    )
    cleaned = InputChain(cleaning, TOKENS, (_Eraser(), SpecialTokenStage(TOKENS))).run(
        user("-a-<|im-_end|>-")
    )
    assert cleaned.refused is not None
    found = cleaned.refused.finding
    assert (found.kind, found.start, found.end) == ("special_token", 3, 14)
    assert "-a-<|im-_end|>-"[3:14] == "<|im-_end|>"


@given(st.lists(st.text(alphabet=st.characters(), max_size=60), max_size=4))
def test_it_never_raises_and_is_idempotent(texts: list[str]) -> None:
    for base in BASES:
        chain = input_chain(built_in(base), TOKENS)
        once = chain.run(user(*texts))
        assert len(once.texts) == len(texts)
        for one in once.seen:
            came = texts[int(one.param[9:-9])]
            assert 0 <= one.finding.start <= one.finding.end <= len(came)
            assert one.finding.kind in KINDS
        if once.refused is None:
            again = chain.run(user(*once.texts))
            assert again.refused is None
            assert again.texts == once.texts
