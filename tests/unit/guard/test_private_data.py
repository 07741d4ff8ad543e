"""Secrets and personal data on the way in: found, not imagined, taken out by policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.guard.alignment import apply
from corral.guard.finding import Handling, Origin, Part
from corral.guard.input_chain import Cleaned, input_chain
from corral.guard.options import Options
from corral.guard.placeholders import Placeholders, Restoration
from corral.guard.policy import BASES, built_in
from corral.guard.policy_file import parse_policy_set
from corral.guard.private_data import PRIVATE_KINDS, PrivateDataStage, mark_of
from corral.guard.secret_patterns import PATTERNS
from corral.guard.special_tokens import ControlTokens
from tests.support.hostile_answers import (
    ASSIGNED,
    CARD,
    CORRAL,
    EMAIL,
    GITHUB,
    IBAN,
    JWT,
    KEY_BLOCK,
    PHONE,
    PIECES,
    SECRETS,
    cut,
)

TERMS = ("Ada Lovelace",)
EVERYTHING = PrivateDataStage(
    dict.fromkeys(PRIVATE_KINDS, Handling.CLEAN), Options(private_terms=TERMS)
)
NOTHING_ALLOWED = """
default = "mine"
[policies.mine]
base = "strict"
input = { email_address = "clean", phone_number = "clean", payment_card = "refuse" }
options = { personal = "placeholder" }
"""


def kinds(text: str) -> list[str]:
    return [one.kind for one in EVERYTHING.look(Part("prompt", text, "user")).findings]


def cleaned(text: str) -> str:
    return apply(text, EVERYTHING.look(Part("prompt", text, "user")).edits)


@pytest.mark.claim("SEC-01")
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("secret", GITHUB), ("secret", CORRAL), ("secret", JWT), ("secret", KEY_BLOCK),
        ("secret", KEY_BLOCK.replace("\n", "\\n")),
        ("secret", "sk-proj-" + "aB3_" * 20), ("secret", "AKIAQYLPMN5HHHFPZAM2"),
        ("secret", "AIzaSyA1234567890abcdefghijklmnopqrstuv"),
        ("secret", "hf_" + "aBcDeFgH" * 4 + "iJ"),
        ("secret", "glpat-abcdefghij1234567890"), ("secret", "SG." + "a" * 22 + "." + "b" * 43),
        ("secret", "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnop"),
        ("credential", ASSIGNED), ("credential", "api_key: 9f8A7b6C5d4E3f2A1b0C"),
        ("credential", '{"clientSecret": "p8Q~x7Yz.1aB2cD3eF4gH"}'),
        ("credential", "Authorization: Bearer abcDEF123456abcDEF123456"),
        ("credential", "postgres://app:s3cr3tpass@db/x"),
        ("payment_card", CARD), ("payment_card", "4532015112830366"),
        ("payment_card", "3714 496353 98456"),
        ("bank_account", IBAN), ("bank_account", "GB29NWBK60161331926819"),
        ("national_id", "12345678Z"), ("national_id", "X1234567L"),
        ("national_id", "RSSMRA85T10A562S"), ("national_id", "529.982.247-25"),
        ("national_id", "44051401359"), ("national_id", "811228-9874"),
        ("national_id", "131052-308T"), ("national_id", "85.07.30-033.28"),
        ("national_id", "2 55 08 14 168 025 38"),
        ("email_address", EMAIL), ("phone_number", PHONE), ("phone_number", "(415) 867-5309"),
        ("ip_address", "8.8.4.4"), ("ip_address", "2a00:1450:4001:81b::200e"),
        ("private_term", "ADA lovelace"),
    ],
)  # fmt: skip
def test_what_is_private_is_found(kind: str, text: str) -> None:
    said = f"Please use {text}, and tell nobody."
    assert kinds(said) == [kind]
    assert mark_of(kind) in cleaned(said)
    assert cleaned(said).startswith("Please use ")
    assert cleaned(said).endswith("tell nobody.")


@pytest.mark.claim("SEC-01")
@pytest.mark.parametrize(
    "text",
    [
        "The password is checked: see password rules.", "password: ${DB_PASSWORD}",
        "token = os.environ['TOKEN']", "max_tokens: 4096", "secret=changeme1234567890",
        "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18", "ghp_" + "x" * 36,
        "AKIAIOSFODNN7EXAMPLE", "sk-learn and task-forces are no keys", "SKILL",
        "4532 0151 1283 0367", "4111 1111 1111 1111", "1234567812345670", "0000 0000 0000 0000",
        "DE89 3704 0044 0532 0130 01", "XX00 1234 5678 9012",
        "12345678A", "44051401358", "529.982.247-24", "811228-9873",
        "jo@example.com", "@property def f(x)", "a@b", "user@localhost",
        "555-0123", "(415) 555-0123", "2024-11-29 10:00", "3.14159265358979323846",
        "10.0.0.1 and 192.168.1.1 and 1.2.3", "12:30:45", "std::vector::iterator",
        "commit 0123456789abcdef0123456789abcdef01234567", "it is 0.6511772622175621",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
        "A file that begins with -----BEGIN PRIVATE KEY----- is a private key.",
        "adalovelace wrote",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_let_alone(text: str) -> None:
    assert kinds(text) == []


@pytest.mark.claim("SEC-01")
def test_policies_decide() -> None:
    policy_text = f"Key {GITHUB} of {EMAIL}, card {CARD}."
    parts = (Part("prompt", policy_text, "user"),)
    for base in BASES:
        seen = input_chain(built_in(base), ControlTokens(())).run(parts)
        assert seen.refused is None
        found = {one.finding.kind: str(one.handling) for one in seen.seen}
        match base:
            case "strict":
                assert found == {"secret": "clean", "payment_card": "clean",
                                 "email_address": "report"}  # fmt: skip
                assert seen.texts == (f"Key [secret] of {EMAIL}, card [payment card].",)
            case "balanced":
                assert found == {"secret": "report", "payment_card": "report"}
                assert seen.texts == (policy_text,)
            case "off":
                # The control: nothing is in the way.
                assert found == {}
                assert seen.texts == (policy_text,)


def _placeholders(*texts: tuple[Origin, str]) -> Cleaned:
    chain = input_chain(parse_policy_set(NOTHING_ALLOWED).default, ControlTokens(("<|x|>",)))
    return chain.run([Part(f"messages[{n}].content", text, origin)
                      for n, (origin, text) in enumerate(texts)])  # fmt: skip


@pytest.mark.claim("SEC-02")
def test_placeholders_hide_and_come_back() -> None:
    made = _placeholders(
        ("system", "The boss is boss@corral.dev."),
        ("user", f"I am {EMAIL} ({PHONE}); write to {EMAIL}. My key: {GITHUB}"),
    )
    first, second = made.texts
    assert "boss@" not in first
    assert EMAIL not in second
    assert PHONE not in second
    mail, number = made.restored
    assert second == f"I am {mail} ({number}); write to {mail}. My key: [secret]"
    answer = Restoration(made.restored)
    said = answer.feed(f"Dear {mail}, {first} [secret] {mail[:-1]}") + answer.flush()
    assert said == f"Dear {EMAIL}, {first} [secret] {mail[:-1]}", "the system prompt's stays hidden"
    again = _placeholders(("user", EMAIL))
    assert mail not in again.restored, "another request's word is another"


@pytest.mark.claim("SEC-02")
def test_a_placeholder_is_in_none_of_the_texts() -> None:
    words = iter(["TAKEN", "TAKEN", "FREE"])
    made = Placeholders(["a", "EMAIL-1-TAKEN"], lambda: next(words))
    assert made.hide("email_address", "x", "user") == "EMAIL-1-FREE"


@pytest.mark.claim("SEC-02")
@given(st.lists(st.sampled_from(["x@y.dev", "+49 30 901820", "a ", "E", "C", "-1-", "P"])),
       st.lists(st.integers(1, 30), max_size=20))  # fmt: skip
def test_every_cut_of_an_answer_restores_the_same(pieces: list[str], sizes: list[int]) -> None:
    text = " ".join(pieces)
    made = _placeholders(("user", text))
    answer = Restoration(made.restored)
    said = "".join(map(answer.feed, cut(made.texts[0], sizes))) + answer.flush()
    assert said == text


def test_other_kinds_are_refused_where_the_policy_says_so() -> None:
    refused = _placeholders(("user", CARD)).refused
    assert refused is not None
    assert refused.code == "input_rejected.payment_card"
    assert not {*CARD.split()} & {*refused.message.split()}


@given(PIECES)
def test_places_are_right_and_cleaning_is_done_once(pieces: list[str]) -> None:
    text = " ".join(pieces)
    verdict = EVERYTHING.look(Part("prompt", text, "user"))
    at = 0
    for found, edit in zip(verdict.findings, verdict.edits, strict=True):
        assert at <= found.start < found.end <= len(text)
        assert (found.start, found.end) == (edit.start, edit.end)
        at = found.end
    once = apply(text, verdict.edits)
    assert cleaned(once) == once


@given(st.sampled_from(SECRETS), st.text(alphabet=" .,;\n\"'()", min_size=1, max_size=3))
def test_a_secret_is_found_among_signs(secret: str, sign: str) -> None:
    assert kinds(f"It is{sign[::-1]} {secret} {sign}") != []


def test_anchors_are_no_single_characters() -> None:
    assert len(PATTERNS) > 40
    assert all(len(anchor) >= 2 for one in PATTERNS for anchor in one.anchors)


def test_a_mark_is_no_name_of_a_secret() -> None:
    marked = "[secret] = Authorization: none"
    assert EVERYTHING.look(Part("prompt", marked, "user")).edits == ()
    named = "secret = Authorization: none"  # the control: the same word without brackets
    assert EVERYTHING.look(Part("prompt", named, "user")).edits != ()
