"""Log lines hold no secrets and nobody's text."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.telemetry import log as log_module
from corral.telemetry.log import FIELDS, configure_logging, get_logger

KEY = "sk-corral-abcdefgh-" + "0123456789abcdef" * 4


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(stream, "info")
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    log_module._configure(logging.WARNING, None)


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object(stream: io.StringIO) -> None:
    get_logger("corral.x").warning("worker_ended", tenant="acme", worker_id=3, status="ok")
    (line,) = _lines(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "event": "worker_ended", "level": "warning", "module": "corral.x", "tenant": "acme",
        "worker_id": 3, "status": "ok",
    }  # fmt: skip


@pytest.mark.claim("LOG-01")
def test_fields_not_on_the_list_are_dropped_and_counted(stream: io.StringIO) -> None:
    get_logger("x").error("event", prompt="my secret diary", token=KEY, tenant="acme")
    (line,) = _lines(stream)
    assert (line["dropped_fields"], line["tenant"]) == (2, "acme")
    assert "diary" not in stream.getvalue()


@pytest.mark.claim("LOG-02")
@pytest.mark.parametrize("where", ["field", "event", "bound", "long"])
def test_a_key_is_never_written(stream: io.StringIO, where: str) -> None:
    log = get_logger("x")
    if where == "field":
        log.error("event", reason=f"bad key {KEY}")
    elif where == "event":
        event = f"refused {KEY}"
        log.error(event)
    elif where == "bound":
        log.bind(tenant=KEY).error("event")
    else:
        log.error("event", reason="x" * 240 + KEY)
    assert "0123456789abcdef" not in stream.getvalue()
    assert "abcdefgh" not in stream.getvalue()


def test_a_name_that_only_resembles_a_key_is_kept(stream: io.StringIO) -> None:
    get_logger("x").error("event", model="Desk-Assistant-Instruct-7b")
    assert _lines(stream)[0]["model"] == "Desk-Assistant-Instruct-7b"


@given(reason=st.text(max_size=400), name=st.sampled_from(sorted(FIELDS - {"event", "level"})))
def test_hostile_values_stay_inside_one_line(reason: str, name: str) -> None:
    stream = io.StringIO()
    log_module._configure(logging.INFO, stream)
    try:
        get_logger("x").error("event", **{name: reason})
    finally:
        log_module._configure(logging.WARNING, None)
    assert stream.getvalue().isascii()
    assert stream.getvalue().count("\n") == 1
    assert len(_lines(stream)[0].get(name, "")) <= log_module.VALUE_CHARACTERS


@pytest.mark.claim("LOG-01")
def test_an_exception_is_type_and_place_only(stream: io.StringIO) -> None:
    try:
        int("my secret diary")
    except ValueError:
        get_logger("x").exception("request_failed")
    (line,) = _lines(stream)
    assert line["error"] == "ValueError"
    assert line["where"].startswith("telemetry/test_log.py:")
    assert "diary" not in stream.getvalue()


@pytest.mark.claim("LOG-01")
def test_a_library_s_words_are_not_kept(stream: io.StringIO) -> None:
    library = logging.getLogger("some.library")
    library.info("not even this")
    library.warning("body was %s", "my secret diary")
    library.log(35, "odd level")
    warning, odd = _lines(stream)
    assert (warning["event"], warning["library"]) == ("library_message", "some.library")
    assert odd["level"] == "warning"
    assert "diary" not in stream.getvalue()


def test_objects_are_named_by_type(stream: io.StringIO) -> None:
    get_logger("x").error("event", reason={"prompt": "diary"}, count=[1])
    (line,) = _lines(stream)
    assert (line["reason"], line["count"]) == ("[dict]", "[list]")


def test_levels_filter(stream: io.StringIO) -> None:
    configure_logging(stream, "error")
    get_logger("x").warning("event")
    assert stream.getvalue() == ""
    with pytest.raises(KeyError):
        configure_logging(stream, "loud")


def test_a_log_that_cannot_be_written_stops_nothing(stream: io.StringIO) -> None:
    stream.close()
    get_logger("x").error("event")


def test_without_configuration_lines_go_redacted_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    get_logger("x").error("event", reason=KEY)
    get_logger("x").info("quiet")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["reason"] == "[key]"
