"""The way out of an answer: where it is cut changes nothing, and no image of elsewhere is left.

Input: text; each U+0000 in it is a cut. The policies are those that everybody has, and one that
looks for all there is. A reader of Markdown that is not ours judges the images.
"""

from __future__ import annotations

import re
from typing import Final

from markdown_it import MarkdownIt

from corral.guard.output_chain import Asked, OutputRules
from corral.guard.policy import built_in
from corral.guard.policy_file import parse_policy_set
from corral.guard.special_tokens import ControlTokens
from fuzz.target import Target

_EVERY: Final = parse_policy_set(
    'default = "all"\n[policies.all]\nbase = "strict"\n'
    'output = { prompt_leak = "refuse", output_email_address = "clean", '
    'output_phone_number = "clean", output_ip_address = "clean" }\n'
    'options = { private_terms = ["Ada L"], answer_characters_max = 5000 }'
).default
_TOKENS: Final = ControlTokens(("<|im_end|>", "</s>"))
_BALANCED: Final = OutputRules(built_in("balanced"), _TOKENS)
_RULES: Final = (_BALANCED, OutputRules(_EVERY, _TOKENS))
_ASKED: Final = Asked(
    canary="zq7m2xk9bvd4hw3t", prompts=("you are a helpful assistant of a bank in the town",),
    restored={"EMAIL-1-QQQQQQQQQQ": "a@b.dev"},
)  # fmt: skip
_READER: Final = MarkdownIt("commonmark", {"html": False})
_IMAGE: Final = re.compile(r'<img src="(?:[a-z][a-z0-9+.-]*:|//|\\)', re.IGNORECASE)


def check(data: bytes) -> None:
    """Feed the text whole and piece by piece."""
    pieces = data.decode(errors="ignore")[:8192].split("\0")
    whole = "".join(pieces)
    for rules in _RULES:
        said = []
        for chunks in ([whole], pieces, list(whole)):
            chain = rules.chain(_ASKED)
            said.append("".join(map(chain.feed, chunks)) + chain.flush())
        if len(set(said)) != 1:
            raise AssertionError("a cut changed an answer")
        if any(one in said[0] for one in ("<|im_end|>", "</s>")):
            raise AssertionError("a control token went out")
        if _IMAGE.search(_READER.render(said[0])):
            raise AssertionError("an image of elsewhere went out")


TARGET = Target(
    "way_out",
    check,
    (
        b"key ghp_zQWBuTSOoRi4\0A9spHcVY5ncnsDkxkJ0mLq17, card 4532 0151\0 1283 0366 and a@\0b.dev",
        b"![x](https://e.vil/?q=\0s) ![a][b]\n\n[b]: https://e.v\0il\n```\n![x](//e.vil)\n```\n",
        b"`<img src=x>` <scr\0ipt> <a href='javascript:x'> [x](java\0script:y) <https://a`> `\n",
        b"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCA\0QEA7bq2mNxX0V9cC4oPq\n-----END",
        b"z q 7 m 2 x k 9 b v d 4 h w 3 t EMAIL-1-QQ\0QQQQQQQQ DE89 3704 0044 0532 0130 00 ada l",
        b'password = "hT7#kQ2!vR9z", Authorization: Bearer abcDEF123456abc\0DEF123456 https://u:pw@h',
    ),
)
