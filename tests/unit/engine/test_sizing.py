from corral.admission.derivation import AdapterRecord, Derivation
from corral.core.config import Config, Engine
from corral.core.ids import Digest, ModelName, TenantName
from corral.engine.sizing import engine_start, trial_demand, trial_start
from corral.ipc.messages import StartEngine, decode_message, encode_message
from tests.support.memory_shapes import Model

DIGEST = Digest("0" * 64)


def start(model: Model, config: Config) -> StartEngine:
    return engine_start(
        tenant=TenantName("t"), model=ModelName("m"), digest=DIGEST, receipt=model, config=config
    )


def test_a_small_model_gets_its_own_context() -> None:
    request = start(Model(context_train_tokens=512), Config(engine=Engine(threads=3)))
    assert (request.context_tokens, request.threads, request.quarantined) == (512, 3, False)
    assert decode_message(encode_message(request, 1)) == (request, 1)


def test_a_trial_is_small_and_from_the_quarantine() -> None:
    demand = trial_demand(Model(), Engine())
    request = trial_start(DIGEST, demand)
    assert request.quarantined
    assert (request.context_tokens, request.parallel) == (512, 1)
    assert request.memory_bytes == demand.memory_bytes < start(Model(), Config()).memory_bytes


def test_a_trial_has_no_more_context_than_the_model() -> None:
    assert trial_demand(Model(context_train_tokens=200), Engine()).estimate.context_tokens == 200
    assert trial_demand(Model(context_train_tokens=1), Engine()).estimate.context_tokens == 128


def test_an_adapter_is_asked_for_with_its_model_in_a_trial_too() -> None:
    adapter = AdapterRecord(digest="f" * 64, size_bytes=7, scale=250, source="file:///a")
    derivation = Derivation(
        base="b", base_template="passed", base_template_sha256="", adapter=adapter
    )
    served = engine_start(
        tenant=TenantName("t"), model=ModelName("m"), digest=DIGEST, receipt=Model(),
        config=Config(), derivation=derivation,
    )  # fmt: skip
    tried = trial_start(DIGEST, trial_demand(Model(), Engine()), derivation)
    for request in (served, tried):
        assert (request.adapter, request.adapter_scale) == ("f" * 64, 250)
        assert decode_message(encode_message(request, 1)) == (request, 1)
    assert start(Model(), Config()).adapter == ""
