"""Records: the shipped ones are OSV, hostile ones are errors, ranges are counted rightly."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.advisories.record import Advisory, Event, is_in_range, parse_advisory
from corral.core.errors import CorralError

FOLDER = resources.files("corral.advisories") / "records"
FILES = sorted(entry.name for entry in FOLDER.iterdir() if entry.name.endswith(".json"))

TEXT = {"type": "string", "minLength": 1}
TIME = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def _list(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


EVENT = {
    "oneOf": [_object([k], **{k: TEXT}) for k in ("introduced", "fixed", "last_affected", "limit")]
}
OSV = _object(
    ["schema_version", "id", "modified", "summary", "affected", "references"],
    schema_version={"const": "1.6.0"},
    id=TEXT,
    modified=TIME,
    published=TIME,
    withdrawn=TIME,
    aliases=_list(TEXT, uniqueItems=True),
    related=_list(TEXT),
    summary=TEXT | {"maxLength": 120},
    details=TEXT,
    affected=_list(
        _object(
            ["package"],
            package=_object(["ecosystem", "name"], ecosystem=TEXT, name=TEXT, purl=TEXT),
            ranges=_list(
                _object(
                    ["type", "events"],
                    type={"enum": ["SEMVER", "ECOSYSTEM"]},
                    events=_list(EVENT, minItems=1, contains={"required": ["introduced"]}),
                ),
                minItems=1,
            ),
        ),
        minItems=1,
    ),
    references=_list(
        _object(
            ["type", "url"],
            type={
                "enum": [
                    "ADVISORY", "ARTICLE", "DETECTION", "DISCUSSION", "REPORT", "FIX", "INTRODUCED",
                    "PACKAGE", "EVIDENCE", "WEB",
                ]
            },
            url={"type": "string", "pattern": "^https://"},
        )
    ),
    database_specific={"type": "object"},
)  # fmt: skip
"""What OSV 1.6 says of the fields that shipped records use, and no other field."""


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_record_is_osv(name: str) -> None:
    raw = (FOLDER / name).read_bytes()
    jsonschema.Draft202012Validator(OSV).validate(json.loads(raw))
    record = parse_advisory(raw, name)
    assert name == f"{record.id}.json"
    assert record.corral.constructs or record.corral.answer, "nobody says what is done"


def test_the_schema_refuses_what_is_not_osv() -> None:
    good = json.loads((FOLDER / FILES[0]).read_bytes())
    for change in ({"modified": "today"}, {"references": [{"url": "x"}]}, {"extra": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(OSV).validate(good | change)


def record(**changes: object) -> bytes:
    document = {"id": "X-1", "modified": "2026-01-01T00:00:00Z"} | changes
    return json.dumps(document).encode()


def extension(**fields: object) -> bytes:
    return record(database_specific={"corral": fields, "other": {"a": 1}})


def test_what_osv_has_and_corral_does_not_use_is_ignored() -> None:
    found = parse_advisory(record(severity=[{"type": "CVSS_V3", "score": "x"}], credits=[]), "x")
    assert isinstance(found, Advisory)
    assert parse_advisory(extension(digests=["0" * 64]), "x").corral.digests == ("0" * 64,)


@pytest.mark.claim("ADV-01")
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[" * 100_000,
        b"\xff",
        b" " * ((1 << 20) + 1),
        record(id="no spaces please"),
        record(modified="2026-01-01T00:00:00"),
        extension(digest=["0" * 64]),
        extension(digests=["0" * 63]),
        extension(digests=["A" * 64]),
        extension(signers=["0" * 64]),
        record(affected=[{"ranges": [{"type": "ECOSYSTEM", "events": []}]}]),
        record(
            affected=[
                {
                    "package": {"ecosystem": "llama.cpp", "name": "llama.cpp"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "yesterday"}]}],
                }
            ]
        ),
        record(
            affected=[
                {
                    "package": {"ecosystem": "llama.cpp", "name": "llama.cpp"},
                    "ranges": [
                        {"type": "ECOSYSTEM", "events": [{"introduced": "0", "fixed": "1"}]}
                    ],
                }
            ]
        ),
    ],
)
def test_a_record_that_is_none_is_an_error(raw: bytes) -> None:
    with pytest.raises(CorralError) as caught:
        parse_advisory(raw, "evil.json")
    assert caught.value.code == "advisory_malformed"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_code(raw: bytes) -> None:
    with pytest.raises(CorralError) as caught:
        parse_advisory(raw, "x")
    assert caught.value.code == "advisory_malformed"


@pytest.mark.parametrize(
    ("events", "affected"),
    [
        ([("introduced", "0")], {0, 9, 10, 11, 20, 21}),
        ([("introduced", "0"), ("fixed", "b10")], {0, 9}),
        ([("introduced", "b10"), ("last_affected", "b20")], {10, 11, 20}),
        ([("fixed", "b20"), ("introduced", "b10")], {10, 11}),
        ([("introduced", "b10"), ("limit", "b20")], {10, 11}),
        (
            [("introduced", "0"), ("fixed", "b10"), ("introduced", "b20"), ("fixed", "b21")],
            {0, 9, 20},
        ),
    ],
)
def test_ranges(events: list[tuple[str, str]], affected: set[int]) -> None:
    made = tuple(Event(**{kind: at}) for kind, at in events)
    assert {b for b in (0, 9, 10, 11, 20, 21) if is_in_range(b, made)} == affected
