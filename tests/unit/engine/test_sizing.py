from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from corral.core.config import Config, Engine
from corral.core.ids import Digest, ModelName, TenantName
from corral.core.limits import ENGINE_BASE_BYTES, GIB, MIB
from corral.engine.sizing import engine_start, memory_bytes, trial_start
from corral.ipc.messages import decode_message, encode_message


@dataclass(frozen=True)
class Model:
    weights_bytes: int = 100 * MIB
    kv_bytes_per_token: int = 1000
    context_train_tokens: int = 8192


def test_memory_is_base_and_cache_and_weights_and_a_tenth() -> None:
    needed = ENGINE_BASE_BYTES + 100 * MIB + 1000 * 2048 * 4
    assert memory_bytes(Model(), Engine()) == needed + needed // 10


def test_the_operator_has_the_last_word() -> None:
    assert memory_bytes(Model(), Engine(memory_bytes=GIB)) == GIB
    assert memory_bytes(Model(weights_bytes=1 << 60), Engine(memory_max_bytes=GIB)) == GIB
    assert memory_bytes(Model(), Engine(memory_bytes=2 * GIB, memory_max_bytes=GIB)) == GIB


@given(st.integers(), st.integers(), st.integers())
def test_any_receipt_gives_a_request_that_the_wire_carries(a: int, b: int, c: int) -> None:
    start = engine_start(
        tenant=TenantName("t"), model=ModelName("m"), digest=Digest("0" * 64),
        estimate=Model(a, b, c), config=Config(),
    )  # fmt: skip
    assert 128 <= start.context_tokens <= 2048
    assert decode_message(encode_message(start, 1)) == (start, 1)


def test_a_small_model_gets_its_own_context() -> None:
    start = engine_start(
        tenant=TenantName("t"), model=ModelName("m"), digest=Digest("0" * 64),
        estimate=Model(context_train_tokens=512), config=Config(engine=Engine(threads=3)),
    )  # fmt: skip
    assert (start.context_tokens, start.threads, start.quarantined) == (512, 3, False)


def test_a_trial_is_small_and_from_the_quarantine() -> None:
    start = trial_start(Digest("0" * 64), Config())
    assert start.quarantined
    assert (start.context_tokens, start.parallel) == (512, 1)
    assert start.memory_bytes <= Config().engine.memory_max_bytes
