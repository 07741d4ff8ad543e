"""What is asked keeps its images where they stood, whatever becomes of the texts around them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corral.engine.wire import Message, Sampling
from corral.gateway.ask import Ask

TEXTS = st.lists(st.text(min_size=1, max_size=6), max_size=4)


def placed(texts: list[str], borders: list[int]) -> tuple[int, ...]:
    return tuple(sum(map(len, texts[:border])) for border in borders)


@given(TEXTS, st.data())
def test_media_stay_between_the_same_texts(texts: list[str], data: st.DataObject) -> None:
    borders = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=3)))
    message = Message("user", "".join(texts), placed(texts, borders))
    runs = {1: tuple((text, False) for text in texts)}
    ask = Ask(
        model="m", sampling=Sampling(1), messages=(Message("system", "be"), message), runs=runs,
        media=(b"png",) * len(borders),
    )  # fmt: skip
    changed = [data.draw(st.text(max_size=6)) for _ in texts]
    said = ask.saying(["is", *changed])
    assert said.messages == (
        Message("system", "is"), Message("user", "".join(changed), placed(changed, borders))
    )  # fmt: skip
    assert said.media == ask.media
    if all(changed):
        assert said.saying(["be", *texts]) == ask


def test_a_message_of_one_text_has_its_media_at_its_ends() -> None:
    message = Message("system", "abc", (0, 3))
    ask = Ask(model="m", sampling=Sampling(1), messages=(message,), media=(b"a", b"b"))
    said = ask.saying(["de"])
    assert said.messages == (Message("system", "de", (0, 2)),)
    (kept,) = ask.with_canary("canary").messages or ()
    assert kept.media == (0, 3)
    assert kept.content.startswith("abc")


def test_the_bytes_of_media_are_in_no_description() -> None:
    assert "secret" not in repr(Ask(model="m", sampling=Sampling(1), media=(b"secret",)))
