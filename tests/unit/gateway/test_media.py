"""Images and sounds at a running gateway: what goes on to an engine, and what ends a request."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from io import BytesIO
from typing import Any

import httpx2
import pytest
from PIL import Image as PILImage

from corral.admission.derivation import Derivation, ProjectorRecord
from corral.gateway.sanitation_table import set_document
from tests.support.media_files import gif_of, image_file, picture, sound_file
from tests.unit.gateway.conftest import Served, admit

Start = Callable[..., Served]
SEES = Derivation(
    base="tiny", base_template="passed", base_template_sha256="",
    projector=ProjectorRecord(digest="e" * 64, size_bytes=1000, source="file:///p", memory_bytes=0),
)  # fmt: skip


@pytest.fixture
def seeing(start: Start) -> Served:
    served = start(limits__body_bytes=16 << 20)
    admit(served.home, "eyes", digest="d" * 64, derivation=SEES)
    return served


def url(data: bytes, said: str = "image/png") -> str:
    return f"data:{said};base64,{b64encode(data).decode()}"


def image(data: bytes, said: str = "image/png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url(data, said), "detail": "auto"}}


def text(words: str, **more: object) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def ask(
    served: Served, *parts: dict[str, Any], model: str = "eyes", **more: Any
) -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": list(parts)}]} | more
    with served.http(headers=served.bearer(), timeout=60) as http:
        return http.post("/v1/chat/completions", json=body)


def code(answer: httpx2.Response) -> str:
    return "ok" if answer.status_code == 200 else str(answer.json()["error"]["code"])


def told(answer: httpx2.Response) -> tuple[list[tuple[str, list[int]]], list[bytes]]:
    """Return what the worker read: contents with the places of media, and the files."""
    assert answer.status_code == 200, answer.text
    said = json.loads(answer.json()["choices"][0]["message"]["content"])
    return [tuple(one) for one in said["places"]], [b64decode(one) for one in said["files"]]


@pytest.mark.claim("MEDIA-15")
def test_an_engine_gets_what_was_made_anew_where_it_stands(seeing: Served) -> None:
    exif = PILImage.Exif()
    exif[0x010E] = "Ada's garden"
    photo = image_file("jpeg", exif=exif)
    small = image_file("png", picture(8, 8))
    answer = ask(
        seeing, text("What is "), image(photo, "image/jpeg"), image(small), text("this?"),
        text(" And this"), image(small),
    )  # fmt: skip
    places, files = told(answer)
    assert places == [("What is this? And this", [8, 8, 22])]
    assert [file[:8] for file in files] == [b"\x89PNG\r\n\x1a\n"] * 3
    assert all(b"garden" not in file for file in files)
    assert files[1] == files[2] != small
    with PILImage.open(BytesIO(files[0])) as shown:
        assert (shown.size, shown.info) == ((60, 40), {})
    assert seeing.launcher.media_starts == 1, "one jail for one request"
    assert told(ask(seeing, image(small)))[0] == [("", [0])]
    assert seeing.launcher.media_starts == 2


@pytest.mark.claim("MEDIA-15")
def test_places_move_with_what_is_done_to_the_texts(seeing: Served) -> None:
    small = image_file("png", picture(8, 8))
    parts = (text("We\u200b see"), image(small), text("a mail", untrusted=True), image(small))
    ((content, places),), _ = told(ask(seeing, *parts))
    assert content.startswith("We see")
    assert (places[0], places[1]) == (6, len(content))
    assert "a mail" in content[6:]


@pytest.mark.claim("MEDIA-16")
def test_what_ends_a_request_before_any_jail(seeing: Served) -> None:
    png = image_file("png")
    assert code(ask(seeing, image(png), model="tiny")) == "media_not_supported"
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    assert code(ask(seeing, audio)) == "media_not_supported"
    for address in (
        "https://example.org/a.png",
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "a.png",
    ):
        part = {"type": "image_url", "image_url": {"url": address}}
        assert code(ask(seeing, part)) == "media_url_refused", address
    for address in ("data:image/png,abc", "data:image/png;base64", "data:image/png;base64,A-_A",
                    "data:image/png;base64,", "data:image/png;base64,AAA"):  # fmt: skip
        part = {"type": "image_url", "image_url": {"url": address}}
        assert code(ask(seeing, part)) == "invalid_parameter", address
    assert code(ask(seeing, *[image(png)] * 9)) == "too_many_media"
    assert code(ask(seeing, image(b"x" * (8 << 20) + b"x"))) == "media_too_long"
    system = {"messages": [{"role": "system", "content": [image(png)]}]}
    assert code(ask(seeing, **system)) == "invalid_parameter"
    for data, said in (
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"), (b"%PDF-1.7", "image/png"),
        (b"%PDF-1.7", "application/pdf"), (image_file("jpeg"), "image/png"), (png, "image/webp"),
        (image_file("bmp"), "image/bmp"), (sound_file("wav"), "image/png"),
    ):  # fmt: skip
        refused = ask(seeing, image(data, said))
        assert code(refused) == "input_rejected.media_type", said
        assert refused.json()["error"]["param"] == "messages[0].content[0].image_url.url"
    assert seeing.launcher.media_starts == 0
    assert seeing.launcher.started == []
    assert code(ask(seeing, image(png))) == "ok", "the control"


@pytest.mark.claim("MEDIA-17")
def test_policies_choose_and_walls_stand(seeing: Served) -> None:
    animated, cut = gif_of(3), image_file("jpeg", picture(300, 200))[:-20]
    large = image_file("png", picture(200, 100))
    assert code(ask(seeing, image(animated, "image/gif"))) == "ok"
    assert code(ask(seeing, image(cut, "image/jpeg"))) == "input_rejected.media_malformed"
    set_document(
        seeing.home.database,
        'default = "own"\n[policies.own]\nbase = "balanced"\nmode = "report"\n'
        'input = {media_animated = "refuse", media_metadata = "refuse"}\n'
        "options = {image_pixels_max = 19999, image_side_max = 16}\n",
    )
    assert code(ask(seeing, image(animated, "image/gif"))) == "input_rejected.media_animated"
    noted = image_file("jpeg", comment=b"a garden")
    assert code(ask(seeing, image(noted, "image/jpeg"))) == "input_rejected.media_metadata"
    assert code(ask(seeing, image(cut, "image/jpeg"))) == "input_rejected.media_malformed"
    assert code(ask(seeing, image(large))) == "input_rejected.media_too_large"
    _, (scaled,) = told(ask(seeing, image(image_file("png"))))
    with PILImage.open(BytesIO(scaled)) as shown:
        assert shown.size == (16, 11)


@pytest.mark.claim("MEDIA-18")
@pytest.mark.parametrize("mode", ["crashes", "echoes", "grows", "floods", "talks"])
def test_a_decoder_that_is_taken_over_costs_one_request(start: Start, mode: str) -> None:
    served = start(limits__body_bytes=16 << 20)
    admit(served.home, "eyes", digest="d" * 64, derivation=SEES)
    png = image_file("png")
    served.launcher.media = mode
    refused = ask(served, image(png))
    assert code(refused) == "input_rejected.media_crash"
    assert "words of a decoder" not in refused.text
    assert served.launcher.started == [], "no engine was asked"
    served.launcher.media = "real"
    assert code(ask(served, image(png))) == "ok"
    assert not [one for one in served.launcher.live if one in served.launcher.stopped]


def test_where_no_jail_can_be_had(seeing: Served) -> None:
    seeing.launcher.media = "refuse"
    refused = ask(seeing, image(image_file("png")))
    assert (refused.status_code, code(refused)) == (503, "media_unavailable")
