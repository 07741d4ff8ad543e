"""docs/api.md and the schemas have the same fields, defaults and limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from corral.core.config import Config
from corral.core.limits import BODY_BYTES_MAX, MIB, WIRE_LINE_BYTES
from corral.engine.translate import DEFAULTS
from corral.gateway.schemas.chat import ChatMessage, ChatRequest
from corral.gateway.schemas.completion import CompletionRequest
from corral.gateway.schemas.fields import NO_OPS, SamplingFields

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
BOTH = set(SamplingFields.__struct_fields__)


def rows(heading: str) -> dict[str, list[str]]:
    """Return the cells behind each field of the first table below a heading."""
    section = PAGE.partition(f"\n{heading}\n")[2]
    section = re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0]
    found = {}
    for line in section.splitlines():
        match = re.match(r"\| `([a-z_]+)` \| (.*) \|$", line)
        if match:
            assert match[1] not in found, f"{match[1]} twice"
            found[match[1]] = match[2].split(" | ")
    assert found, f"no table below {heading}"
    return found


def idle(where: str) -> set[str]:
    return {name for name, cells in rows("## Fields that do nothing").items() if cells[0] == where}


def test_the_page_has_every_field_and_no_other() -> None:
    both = set(rows("## Fields of both endpoints"))
    chats, texts = set(rows("## Fields of chats")), set(rows("## Fields of text completions"))
    assert both | idle("both") == BOTH
    assert chats | idle("chats") == set(ChatRequest.__struct_fields__) - BOTH
    assert texts | idle("text completions") == set(CompletionRequest.__struct_fields__) - BOTH
    for named in (both, chats, texts):
        assert not named & set(rows("## Fields that do nothing"))
    assert set(rows("### Fields of a message")) == set(ChatMessage.__struct_fields__)


def test_what_does_nothing_is_what_the_schema_calls_so() -> None:
    assert set(rows("## Fields that do nothing")) - NO_OPS == {
        "n", "user", "metadata", "prompt_cache_key", "safety_identifier"
    }  # fmt: skip
    assert set(rows("## Fields that do nothing")) >= NO_OPS


@pytest.mark.parametrize("name", ["temperature", "top_p", "frequency_penalty", "presence_penalty"])
def test_defaults_of_sampling_are_the_engines_requests(name: str) -> None:
    assert rows("## Fields of both endpoints")[name][-1] == str(DEFAULTS[name])


def test_limits_are_the_settings() -> None:
    config = Config()
    table = PAGE.partition("## Limits")[2]
    stated = dict(re.findall(r"`((?:limits|engine)\.[a-z_]+)` \((\d+)", table))
    assert stated.pop("limits.body_bytes") == str(config.limits.body_bytes // MIB)
    assert f"at most {BODY_BYTES_MAX // MIB})" in table
    assert WIRE_LINE_BYTES == MIB
    assert len(stated) == 6
    for setting, value in stated.items():
        section, _, name = setting.partition(".")
        assert value == str(getattr(getattr(config, section), name)), setting
