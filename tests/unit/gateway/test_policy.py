"""What a model's signed receipt says of its policy is what the gateway does."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from corral.admission.policy.verdict import Allowance
from tests.support.policies import DECIDED
from tests.unit.gateway.conftest import MODELS, Served, admit

Start = Callable[..., Served]


def allow(served: Served, model: str, *, outcome: str = "admit", **allowance: object) -> None:
    """Sign a model's receipt anew, as `corral admit` does."""
    number = list(MODELS).index(model)
    decision = msgspec.structs.replace(
        DECIDED, outcome=outcome, allowance=msgspec.convert(allowance, Allowance)
    )
    admit(served.home, model, digest=f"{number:064x}", decision=decision)


def ask(served: Served, tenant: str, **fields: object) -> tuple[int, str]:
    """Return status and code of one chat."""
    with served.http() as http:
        answer = http.post(
            "/v1/chat/completions",
            json={"model": "tiny", "messages": [{"role": "user", "content": "hi"}], **fields},
            headers=served.bearer(tenant),
        )
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def listed(served: Served, tenant: str) -> set[str]:
    with served.http() as http:
        return {
            model["id"]
            for model in http.get("/v1/models", headers=served.bearer(tenant)).json()["data"]
        }


@pytest.mark.claim("POL-07")
def test_a_tenant_whom_the_policy_leaves_out_sees_nothing_of_the_model(served: Served) -> None:
    """It has the grant; the answer is the same as for a model that does not exist."""
    assert ask(served, "acme") == (200, "")  # control
    assert "tiny" in listed(served, "acme")
    allow(served, "tiny", tenants=["default"])
    assert ask(served, "acme") == ask(served, "acme", model="none") == (404, "model_not_found")
    assert "tiny" not in listed(served, "acme")
    with served.http() as http:
        assert http.get("/v1/models/tiny", headers=served.bearer("acme")).status_code == 404
    assert ask(served, "default") == (200, "")
    # The policy gives no grant: who was not granted the model stays without it.
    allow(served, "slow", tenants=["acme"])
    assert ask(served, "acme", model="slow") == (404, "model_not_found")


@pytest.mark.claim("POL-06")
def test_what_is_held_back_does_not_exist(served: Served) -> None:
    assert ask(served, "default") == (200, "")  # control
    allow(served, "tiny", outcome="hold")
    assert ask(served, "default") == (404, "model_not_found")
    assert "tiny" not in listed(served, "default")


@pytest.mark.claim("EST-02")
def test_a_level_with_too_little_memory_starts_no_worker(served: Served) -> None:
    allow(served, "tiny", memory_bytes_max=64 << 20)
    assert ask(served, "default") == (503, "over_ceiling")
    assert served.launcher.started == []
    allow(served, "tiny", memory_bytes_max=1 << 30)
    assert ask(served, "default") == (200, "")  # control


@pytest.mark.claim("POL-08")
def test_limits_of_a_level_hold(served: Served) -> None:
    assert ask(served, "default", max_tokens=65) == (200, "")  # control
    (plain,) = served.launcher.started
    allow(
        served, "tiny", answer_tokens_max=64, context_tokens_max=256, parallel_max=1,
        memory_bytes_max=176 << 20,
    )  # fmt: skip
    assert ask(served, "default", max_tokens=65) == (400, "max_tokens_too_large")
    assert ask(served, "default", max_completion_tokens=65) == (400, "max_tokens_too_large")
    assert ask(served, "default", max_tokens=64) == (200, "")
    assert ask(served, "default") == (200, "")  # who names no bound gets the level's
    bounded = served.launcher.started[-1]
    assert (bounded.context_tokens, bounded.parallel) == (256, 1)
    assert bounded.memory_bytes <= 176 << 20 < plain.memory_bytes
    assert plain.parallel > 1


@pytest.mark.claim("POL-08")
def test_a_model_whose_tier_the_server_does_not_give_is_not_started(start: Start) -> None:
    served = start()
    assert ask(served, "default") == (200, "")  # control
    count = len(served.launcher.started)
    allow(served, "tiny", tier="gvisor")
    assert ask(served, "default") == (503, "tier_not_given")
    assert len(served.launcher.started) == count


@pytest.mark.claim("POL-08")
def test_a_server_that_gives_the_tier_serves_it(start: Start) -> None:
    served = start(tier_by_trust__untrusted="gvisor", tier_by_trust__verified="gvisor")
    allow(served, "tiny", tier="gvisor")
    assert ask(served, "default") == (200, "")
    allow(served, "tiny", tier="vm")
    assert ask(served, "default") == (503, "tier_not_given")
