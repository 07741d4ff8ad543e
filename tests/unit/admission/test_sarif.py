"""Every SARIF log is valid against the schema of OASIS, and says what the report says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.admission.report import Finding, make_report
from corral.admission.rules import rules
from corral.admission.sarif import FINGERPRINT, make_failure_sarif, make_sarif
from corral.admission.scan.runner import ScannedFile, ScannedFiles
from corral.core.errors import CorralError
from corral.core.ids import Digest

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "support/sarif/sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8")
)
VALIDATOR = jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
FILE = ScannedFile(Path("models/a b.gguf"), Digest("a" * 64), 4096)
PADDING = Finding("padding_bytes", "reject", "something where padding should be", "", 96, 32)
KEYS = tuple(Finding("unknown_key", "info", "no engine reads this", name) for name in ("x", "y"))


def log(
    *findings: Finding, files: tuple[ScannedFile, ...] = (FILE,), rules: bool = True
) -> dict[str, Any]:
    report = make_report(findings, None, "scanner 1", "adapter")
    document = make_sarif(ScannedFiles(report, files), version="0.1.0")
    if not rules:  # they are the same each time, and most of the work
        document["runs"][0]["tool"]["driver"]["rules"] = []
    VALIDATOR.validate(document)
    return document


def results(*findings: Finding) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = log(*findings)["runs"][0]["results"]
    return found


def test_the_validator_refuses_what_is_none() -> None:
    document = log(PADDING)
    for spoil in ({"level": "fatal"}, {"message": {}}, {"other": 1}, {"ruleIndex": -2}):
        result = document["runs"][0]["results"][0]
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate(
                document | {"runs": [document["runs"][0] | {"results": [result | spoil]}]}
            )


def test_a_finding_has_its_rule_level_and_bytes() -> None:
    document = log(PADDING)
    (run,) = document["runs"]
    (result,) = run["results"]
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert (result["ruleId"], rule["id"], result["level"]) == ("padding_bytes",) * 2 + ("error",)
    physical = result["locations"][0]["physicalLocation"]
    assert physical["region"] == {"byteOffset": 96, "byteLength": 32}
    artifact = run["artifacts"][physical["artifactLocation"]["index"]]
    assert artifact["hashes"] == {"sha-256": "a" * 64}
    assert artifact["location"]["uri"] == physical["artifactLocation"]["uri"] == "models/a%20b.gguf"
    assert run["properties"]["verdict"] == "reject"


def test_every_rule_is_there_with_its_help_and_references() -> None:
    found = log()["runs"][0]["tool"]["driver"]["rules"]
    assert [one["id"] for one in found] == list(rules())
    for one, rule in zip(found, rules().values(), strict=True):
        assert rule.why in one["help"]["text"]
        assert rule.mend in one["help"]["markdown"]
        assert all(text in one["help"]["text"] for text in rule.references)
    assert any(one.get("helpUri", "").startswith("https://www.cve.org/") for one in found)


def test_fingerprints_stay_where_a_file_changes() -> None:
    def marks(*findings: Finding) -> list[str]:
        return [one["partialFingerprints"][FINGERPRINT] for one in results(*findings)]

    first, second = marks(*KEYS)
    moved = tuple(Finding(k.code, "info", "other words", k.where, 7, 9) for k in reversed(KEYS))
    assert marks(*moved) == [second, first]
    twice = marks(KEYS[0], KEYS[0])
    assert twice[0] == first != twice[1]


def test_a_set_is_named_whole() -> None:
    files = (FILE, ScannedFile(Path("/m/b.gguf"), Digest("b" * 64), 1))
    (run,) = log(Finding("split", "reject", "not whole"), files=files)["runs"]
    (result,) = run["results"]
    places = [one["physicalLocation"] for one in result["locations"]]
    assert [one["artifactLocation"]["index"] for one in places] == [0, 1]
    assert places[1]["artifactLocation"]["uri"] == "file:///m/b.gguf"
    assert "region" not in places[0]


def test_a_rule_that_is_not_in_the_catalogue_has_no_index() -> None:
    (result,) = results(Finding("from_a_job_taken_over", "flag", "x"))
    assert "ruleIndex" not in result


def test_a_failure_is_not_a_clean_log() -> None:
    document = make_failure_sarif(CorralError("scan_failed", "no result"), version="0.1.0")
    VALIDATOR.validate(document)
    (run,) = document["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert "results" not in run


@settings(deadline=None, max_examples=50)
@given(
    code=st.from_regex(r"[a-z0-9_]{1,48}", fullmatch=True),
    message=st.text(max_size=40), where=st.text(max_size=40),
    place=st.none() | st.integers(0, (1 << 63) - 1),
    name=st.binary(min_size=1, max_size=20).filter(lambda raw: b"\0" not in raw),
)  # fmt: skip
def test_any_text_and_any_file_name_give_a_valid_log(
    code: str, message: str, where: str, place: int | None, name: bytes
) -> None:
    file = ScannedFile(Path(name.decode("utf-8", "surrogateescape")), Digest("c" * 64), 0)
    document = log(Finding(code, "flag", message, where, place), files=(file,), rules=False)
    assert json.dumps(document).isascii()
