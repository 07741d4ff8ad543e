"""Check digits: what makes a number a card, an account, a person's, and not just digits.

Trust: gateway [net] and command line; pure. Input: hostile text of a few dozen characters that a
pattern has found. Sources: ISO/IEC 7812-1 (Luhn), ISO 13616 and ISO 7064 (IBAN), GitHub's
description of its tokens (CRC-32 in base 62), the countries' own rules.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from datetime import date
from typing import Final

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_DNI: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_ODD: Final = dict(zip(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6,
     8, 12, 14, 16, 10, 22, 25, 24, 23),
    strict=True,
))  # fmt: skip
_IBAN_CHARACTERS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30,
    "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22,
    "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_CARD_LENGTHS: Final = (
    ("4", 13, 19), ("34", 15, 15), ("37", 15, 15), ("36", 14, 19), ("38", 14, 19), ("39", 14, 19),
    ("30", 14, 19), ("35", 16, 19), ("60", 16, 19), ("62", 16, 19), ("64", 16, 19), ("65", 16, 19),
    ("81", 16, 19),
    *((str(two), 16, 16) for two in range(51, 56)), *((str(two), 16, 16) for two in range(22, 28)),
    *((str(two), 13, 19) for two in (50, 56, 57, 58, 59, 61, 63, 66, 67, 68, 69)),
)  # fmt: skip
TEST_CARDS: Final = frozenset({
    "4111111111111111", "4242424242424242", "4000056655665556", "5555555555554444",
    "2223003122003222", "5105105105105100", "5200828282828210", "378282246310005",
    "371449635398431", "6011111111111117", "6011000990139424", "3056930009020004",
    "30569309025904", "38520000023237", "3530111333300000", "3566002020360505",
    "4012888888881881", "4222222222222", "4917610000000000", "6200000000000005",
    "4000000000000002", "5454545454545454", "4444333322221111",
})  # fmt: skip
"""Numbers that payment services publish for tests: nobody's."""


def luhn(digits: str) -> bool:
    """Return whether the last digit is the Luhn check digit of the others."""
    total = sum(map(int, digits[-1::-2])) + sum(_DOUBLED[int(one)] for one in digits[-2::-2])
    return total % 10 == 0


def is_card(digits: str) -> bool:
    """Return whether digits are a payment card's number, by issuer range, length and Luhn."""
    return (
        digits not in TEST_CARDS
        and len(set(digits)) > 2
        and any(digits.startswith(s) and low <= len(digits) <= top for s, low, top in _CARD_LENGTHS)
        and luhn(digits)
    )


def iban_characters(text: str) -> int:
    """Return how long the account number is that a text without spaces begins with; 0 if none.

    Args:
        text: capitals and digits.
    """
    size = _IBAN_CHARACTERS.get(text[:2], 0)
    if not size or len(text) < size:
        return 0
    turned = text[4:size] + text[:4]
    return size if int("".join(str(int(one, 36)) for one in turned)) % 97 == 1 else 0


def crc32_base62(text: str) -> bool:
    """Return whether the last six characters are the CRC-32 of the others, as GitHub writes it."""
    number = zlib.crc32(text[:-6].encode())
    written = ""
    while number:
        number, rest = divmod(number, 62)
        written = _BASE62[rest] + written
    return written.rjust(6, "0") == text[-6:]


def bits_for_each(text: str) -> float:
    """Return the Shannon entropy of a text's characters, in bits for each."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values()) if size else 0.0


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def is_dni(text: str) -> bool:
    """Spain: DNI (8 digits and a letter) or NIE (X, Y or Z, 7 digits and a letter)."""
    number = text[:-1].translate({ord("X"): "0", ord("Y"): "1", ord("Z"): "2"})
    return number.isdigit() and _DNI[int(number) % 23] == text[-1]


def is_codice_fiscale(text: str) -> bool:
    """Italy: 16 characters of which the last checks the others."""
    total = sum(
        _ODD[one] if place % 2 == 0 else (int(one) if one.isdigit() else ord(one) - 65)
        for place, one in enumerate(text[:15])
    )
    return chr(65 + total % 26) == text[15]


def is_nir(digits: str) -> bool:
    """France: 13 digits and a key of two, modulo 97."""
    return int(digits[13:]) == 97 - int(digits[:13]) % 97 and 1 <= int(digits[3:5]) <= 12


def is_cpf(digits: str) -> bool:
    """Brazil: 9 digits and two check digits, modulo 11."""

    def check(part: str) -> str:
        total = sum(int(one) * (len(part) + 1 - place) for place, one in enumerate(part))
        return str(total * 10 % 11 % 10)

    return len(set(digits)) > 1 and digits[9:] == check(digits[:9]) + check(digits[:10])


def is_pesel(digits: str) -> bool:
    """Poland: a date of birth, a number and a check digit, modulo 10."""
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
    total = sum(int(one) * weight for one, weight in zip(digits, weights, strict=True))
    century, month = divmod(int(digits[2:4]), 20)
    year = (1900, 2000, 2100, 2200, 1800)[century] + int(digits[:2])
    return total % 10 == 0 and _is_day(year, month, int(digits[4:6]))


def is_personnummer(digits: str) -> bool:
    """Sweden: the last ten digits, a date of birth first, Luhn."""
    day = _is_day(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    return day and luhn(digits)


def is_hetu(text: str) -> bool:
    """Finland: a date of birth, a sign, a number and a letter, modulo 31."""
    number = text[:6] + text[7:10]
    day = _is_day(2000 + int(text[4:6]), int(text[2:4]), int(text[:2]))
    return day and _HETU[int(number) % 31] == text[10]


def is_rijksregister(digits: str) -> bool:
    """Belgium: 9 digits and a key of two, modulo 97; with a 2 before them from 2000 on."""
    return any(int(digits[9:]) == 97 - int(head + digits[:9]) % 97 for head in ("", "2"))
