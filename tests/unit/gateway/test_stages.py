"""No stage can be made but by the stage before it."""

import pytest

from corral.core.config import Config
from corral.gateway import stages
from corral.gateway.dialect import CHAT
from corral.gateway.errors import ApiError

SEALED = [
    stages.Parsed, stages.Authenticated, stages.Authorised, stages.Leased, stages.Sanitised,
    stages.Routed,
]  # fmt: skip


@pytest.mark.claim("HTTP-05")
@pytest.mark.parametrize("kind", SEALED)
def test_a_stage_cannot_be_made_by_hand(kind: type) -> None:
    names = [name for name in kind.__dataclass_fields__ if name != "seal"]  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        kind(seal=object(), **dict.fromkeys(names))


def test_parse_makes_the_first_one() -> None:
    body = b'{"model":"m","messages":[{"role":"developer","content":"x"}],"seed":-1}'
    parsed = stages.parse(body, CHAT, Config())
    assert isinstance(parsed, stages.Parsed)
    assert parsed.ask.messages is not None
    assert parsed.ask.messages[0].role == "system"
    assert parsed.ask.sampling.max_tokens == Config().limits.max_tokens
    assert parsed.ask.sampling.seed == 0xFFFF_FFFE
    assert isinstance(stages.parse(b"{}", CHAT, Config()), ApiError)
