"""Cards, accounts, addresses and numbers of people in a text, without a model.

Trust: gateway [net] and command line; pure. Input: hostile text; the time is linear in its length.

    payment_card   13 to 19 digits of an issuer's range whose Luhn digit is right; not the
                   numbers that payment services publish for tests
    bank_account   IBAN of a country's length, modulo 97
    national_id    those that carry a check: Spain, Italy, France, Brazil, Poland, Sweden, Finland,
                   Belgium
    email_address  not of the domains that are reserved for examples (RFC 2606)
    phone_number   international (+), or North American with its separators
    ip_address     of the public Internet
    private_term   words that the policy names

Names of people need a model, and none is built in: a policy can list the names that it knows.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from corral.guard.check_digits import (
    iban_characters,
    is_card,
    is_codice_fiscale,
    is_cpf,
    is_dni,
    is_hetu,
    is_nir,
    is_personnummer,
    is_pesel,
    is_rijksregister,
)
from corral.guard.hit import LOOK_AHEAD, Hit, Tail
from corral.guard.secret_patterns import ALNUM
from corral.guard.term_pattern import any_of, beginning_of

_ALONE: Final = r"(?<![A-Za-z0-9_])(?<![0-9][.,])"
_ENDED: Final = r"(?![A-Za-z0-9_])"

_CARD: Final = re.compile(
    _ALONE + r"(?:[2-68][0-9]{12,18}|[2-68][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}|"
    r"3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5})" + _ENDED
)
_IBAN: Final = re.compile(_ALONE + r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?")
_PHONE: Final = re.compile(
    r"(?<![A-Za-z0-9_+])\+[1-9](?:[ .()/-]{0,2}[0-9]){7,14}" + _ENDED + "|" + _ALONE
    + r"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])(?!555[ .-]01)[2-9][0-9]{2}[ .-][0-9]{4}" + _ENDED
)  # fmt: skip
_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9_])[+(0-9][0-9 ().\-/]{0,46}\Z")
_ACCOUNT: Final = re.compile(_ALONE + r"[A-Z](?:[A-Z](?:[0-9](?:[0-9][A-Z0-9 ]{0,40})?)?)?\Z")

_Checked = tuple[str, str, re.Pattern[str], re.Pattern[str], Callable[[str], bool] | None]
"""Kind, note, a quick pattern without which there is none, pattern, and the check of what it finds;
none where the pattern is all."""
_DIGITS: Final = re.compile(r"[0-9](?:[ ().\-/+]{0,2}[0-9]){5}")
_CAPITALS: Final = re.compile(r"[A-Z]{6}[0-9L-NP-V]{2}")
_IBAN_HEAD: Final = re.compile(r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}")
_ADDRESS_PART: Final = re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|:[0-9A-Fa-f]{0,4}:")
_ANYTHING: Final = re.compile("")
_JOINTS: Final = str.maketrans("", "", " .()/-+")


def _without_joints(check: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: check(text.translate(_JOINTS))


_IDS: Final[Sequence[tuple[str, str, Callable[[str], bool]]]] = (
    ("dni", r"[0-9XYZ][0-9]{7}[A-HJ-NP-TV-Z]", is_dni),
    ("codice_fiscale",
     r"[A-Z]{6}[0-9L-NP-V]{2}[A-EHLMPR-T][0-9L-NP-V]{2}[A-Z][0-9L-NP-V]{3}[A-Z]",
     is_codice_fiscale),
    ("nir", r"[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
     _without_joints(is_nir)),
    ("cpf", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _without_joints(is_cpf)),
    ("pesel", r"[0-9]{11}", is_pesel),
    ("personnummer", r"(?:19|20)?[0-9]{6}[-+][0-9]{4}",
     lambda text: is_personnummer(text.translate(_JOINTS)[-10:])),
    ("hetu", r"[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]", is_hetu),
    ("rijksregister", r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}",
     _without_joints(is_rijksregister)),
)  # fmt: skip
_ID_BEGUN: Final = re.compile(_ALONE + r"[A-Z0-9][A-Z0-9+\-]{0,15}\Z")

_LOCAL: Final = re.compile(r"[A-Za-z0-9._%+'-]*")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9-]{1,40}\.[A-Za-z]{2,3}")
_EMAIL_TAIL: Final = Tail(ALNUM, joints=".-")
_EMAIL_BEGUN: Final = re.compile(
    r"[A-Za-z0-9._%+'-]{1,64}(?:@(?:[A-Za-z0-9-]{0,40}(?:\.[A-Za-z]{0,3})?)?)?\Z"
)
_LOCAL_CHARACTERS: Final = 64
_NOBODYS: Final = ("example.com", "example.org", "example.net", "localhost.", "test.", "invalid.")

_ADDRESS: Final = re.compile(
    r"(?<![A-Za-z0-9_.:])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\.?[0-9A-Za-z_])|"
    r"[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{3,34}(?![A-Za-z0-9_:]))"
)
_ADDRESS_BEGUN: Final = re.compile(r"(?<![A-Za-z0-9_.:])[0-9A-Fa-f:.]{1,42}\Z")

PERSONAL_KINDS: Final = (
    "payment_card", "bank_account", "national_id", "email_address", "phone_number", "ip_address",
    "private_term",
)  # fmt: skip
TERM_CHARACTERS: Final = 64
"""Most that a term may have."""


class PersonalScanner:
    """Finds personal data of some kinds.

    Args:
        kinds: of `PERSONAL_KINDS`.
        terms: words of `private_term`, each of at most `TERM_CHARACTERS`; case does not count.
    """

    def __init__(self, kinds: Collection[str], terms: Sequence[str] = ()) -> None:
        self._kinds = frozenset(kinds)
        if not terms:
            self._kinds -= {"private_term"}
        words = sorted({one.lower() if len(one.lower()) == len(one) else one for one in terms})
        self._terms = re.compile(rf"(?<!\w){any_of(words)}(?!\w)", re.IGNORECASE)
        self._term_begun = re.compile(rf"(?<!\w){beginning_of(words)}\Z", re.IGNORECASE)
        every: Sequence[_Checked] = (
            ("payment_card", "", _DIGITS, _CARD, _without_joints(is_card)),
            *(
                ("national_id", note, _CAPITALS if note == "codice_fiscale" else _DIGITS,
                 re.compile(_ALONE + pattern + _ENDED), check)
                for note, pattern, check in _IDS
            ),
            ("phone_number", "", _DIGITS, _PHONE, None),
            ("ip_address", "", _ADDRESS_PART, _ADDRESS, _is_global),
            ("private_term", "", _ANYTHING, self._terms, None),
        )  # fmt: skip
        self._patterns = tuple(one for one in every if one[0] in self._kinds)

    def hits(self, text: str, start: int, stop: int) -> Iterator[Hit]:
        """Yield hits, as `Scanner` says."""
        found: list[Hit] = []
        gates: dict[re.Pattern[str], bool] = {}
        for one in self._patterns:
            if _passes(one[2], gates, text, start):
                found += _checked(one, text, start, stop)
        if "bank_account" in self._kinds:
            found += _accounts(text, start, stop)
        if "email_address" in self._kinds:
            found += _emails(text, start, stop)
        return iter(found)

    def held_from(self, text: str) -> int:
        """Return where something may be unfinished, as `Scanner` says."""
        kinds, low = self._kinds, max(0, len(text) - LOOK_AHEAD)
        begun = []
        if kinds & {"payment_card", "phone_number", "national_id"}:
            begun.append(_NUMBER)
        if "bank_account" in kinds:
            begun.append(_ACCOUNT)
        if "national_id" in kinds:
            begun.append(_ID_BEGUN)
        if "email_address" in kinds:
            begun.append(_EMAIL_BEGUN)
        if "ip_address" in kinds:
            begun.append(_ADDRESS_BEGUN)
        if "private_term" in kinds:
            begun.append(self._term_begun)
        found = [match.start() for one in begun if (match := one.search(text, low))]
        return min(found, default=len(text))


def _checked(one: _Checked, text: str, start: int, stop: int) -> Iterator[Hit]:
    """Yield the hits of a pattern that pass its check."""
    kind, note, _, pattern, check = one
    at = start
    while (found := pattern.search(text, at)) and found.start() < stop:
        # What fails its check hides nothing that begins inside it.
        at = found.start() + 1
        if check is None or check(found[0]):
            at = found.end()
            yield Hit(kind, found.start(), at, note)


def _passes(
    gate: re.Pattern[str], seen: dict[re.Pattern[str], bool], text: str, start: int
) -> bool:
    if gate not in seen:
        seen[gate] = gate.search(text, start) is not None
    return seen[gate]


def _accounts(text: str, start: int, stop: int) -> Iterator[Hit]:
    at = start if _IBAN_HEAD.search(text, start) else len(text)
    while (found := _IBAN.search(text, at)) and found.start() < stop:
        at = found.start() + 1
        size = iban_characters(found[0].replace(" ", ""))
        end = found.start()
        while size:
            size -= text[end] != " "
            end += 1
        if end > at and text[end : end + 1] not in ALNUM:
            yield Hit("bank_account", found.start(), end, found[0][:2])
            at = end


def _emails(text: str, start: int, stop: int) -> Iterator[Hit]:
    at = text.find("@", start)
    while at >= 0:
        local = text[max(0, at - _LOCAL_CHARACTERS) : at][::-1]
        match = _LOCAL.match(local)
        first = at - (match.end() if match else 0)
        while first < at and text[first] not in ALNUM:
            first += 1
        domain = _DOMAIN.match(text, at + 1)
        if first >= stop:
            return
        if first < at and first >= start and domain and not domain[0].lower().startswith(_NOBODYS):
            end = _EMAIL_TAIL.end(text, domain.end())
            yield Hit("email_address", first, end, "", _EMAIL_TAIL)
        at = text.find("@", at + 1)


def _is_global(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
