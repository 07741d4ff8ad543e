"""Pieces that hostile answers are put together from; every secret in it is made up for tests."""

from __future__ import annotations

from hypothesis import strategies as st

GITHUB = "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"
CORRAL = "sk-corral-abcd1234-" + "0123456789abcdef" * 4
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
KEY_BLOCK = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
    "DEK-Info: AES-128-CBC,3F17F5316E2BAC89\n\n"
    "MIIEpAIBAAKCAQEA7bq2mNxX0V9cC4oPq\nQm9zc2VkIHRoaXMgaXMgbm90IGEga2V5IQ==\n"
    "-----END RSA PRIVATE KEY-----"
)
CARD = "4532 0151 1283 0366"
IBAN = "DE89 3704 0044 0532 0130 00"
EMAIL = "jo.bloggs@mail.corral.dev"
PHONE = "+49 30 901820"
ASSIGNED = 'password = "hT7#kQ2!vR9z"'
SECRETS = (
    GITHUB, CORRAL, JWT, KEY_BLOCK, CARD, IBAN, EMAIL, PHONE, ASSIGNED,
    "sk-ant-api03-" + "aB3_" * 24, "AKIAQYLPMN5HHHFPZAM2", "xoxb-123456789012-AbCdEfGhIjKlMnOpQrSt",
    "https://bob:hunter2hunter@db.corral.dev/x", "Authorization: Bearer abcDEF123456abcDEF123456",
    "GB29 NWBK 6016 1331 9268 19", "529.982.247-25", "12345678Z", "203.0.114.9",
)  # fmt: skip

_SCRAPS = st.sampled_from([
    "sk-", "ghp_", "eyJ", "AKIA", "password", "=", ":", " ", "\n", '"', "4", "1111", "-", "@", ".",
    "com", "+1", "(", ")", "DE89", "3704", "a", "Z", "PRIVATE KEY-----", "\\n", "://", "Bearer ",
    "é", "漢字", "\u200b", "token: ", "A1b2C3d4", "/", "![", "](", "<", ">", "```", "\n\n",
    "x" * 40, "https://e.vil/?q=s,", ",", "0" * 20, "aB3_" * 40,
])  # fmt: skip
PIECES = st.lists(st.one_of(st.sampled_from(SECRETS), _SCRAPS, st.text(max_size=6)), max_size=14)
"""Texts as lists of pieces; the borders between them are borders of chunks, too."""
MARKDOWN = st.lists(
    st.sampled_from(
        [
            "![",
            "[",
            "]",
            "](",
            "](",
            "](<",
            "]: ",
            "[a]",
            "[a]: ",
            "![a]",
            ")",
            "(",
            "https://e.vil/?q=s",
            "//e.vil/x",
            "/local.png",
            "https://corral.dev/x",
            "javascript:alert(1)",
            "data:text/html,x",
            "&#106;avascript:x",
            "<img src=https://e.vil>",
            "<img",
            "<script>",
            "</script>",
            "<b>",
            "</b>",
            "<a href='https://e.vil'>",
            ">",
            "<!--",
            "-->",
            "<https://e.vil>",
            "<javascript:x>",
            "<x onclick=y>",
            "`",
            "``",
            "```",
            "````",
            "~~~",
            "\n",
            "\n",
            "\n\n",
            " ",
            "   ",
            "    ",
            "\t",
            "- ",
            "1. ",
            "> ",
            "\\",
            "!",
            "a",
            "word",
            "\r",
            "'",
            '"',
        ]
    ),
    max_size=20,
)
"""Signs of Markdown and markup in any order."""
CUTS = st.lists(st.integers(1, 40), max_size=30)


def cut(text: str, sizes: list[int]) -> list[str]:
    """Return a text in chunks of these sizes, and then the rest."""
    chunks, at = [], 0
    for size in sizes:
        chunks.append(text[at : at + size])
        at += size
    return [*chunks, text[at:]]
