"""LoRA adapters laid over admitted models: checked beside their base, named, kept and removed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from corral.admission.audit import verify_admissions
from corral.admission.bom import make_bom
from corral.admission.catalog import CatalogEntry
from corral.admission.catalog_changes import remove_entry
from corral.admission.deriving import Wanted, WantedFile, derive_model
from corral.admission.expectation import Expectation
from corral.admission.fsck import check_store
from corral.admission.policy.standing import install_standing
from corral.admission.quarantine import collect_garbage
from corral.admission.receipt import Receipt
from corral.admission.redeciding import redecide
from corral.admission.trust_marks import held_blobs, wrong_marks
from corral.control.client import LauncherClient
from corral.core.config import Config, Engine
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, pair_digest
from tests.support.additions import ADAPTER, LORA, PROJECTOR, VECTOR
from tests.support.gguf_file import F32, STRING, WIDTH, GgufFile, of_shape, scalar
from tests.support.policies import ANYTHING, HEAD
from tests.unit.admission.conftest import Pull, Trial
from tests.unit.admission.test_deriving import NOTHING, left, names
from tests.unit.admission.test_swaps import SWAPS, Swap

Lay = Callable[..., CatalogEntry]

BODY = ADAPTER.encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())
_Q = "blk.0.attn_q.weight"


def pair(down: tuple[int, ...], up: tuple[int, ...], name: str = _Q) -> GgufFile:
    tensors = (of_shape(f"{name}.lora_a", *down), of_shape(f"{name}.lora_b", *up))
    return replace(ADAPTER, tensors=tensors)


def of_nan() -> bytes:
    raw = bytearray(BODY)
    raw[-4:] = b"\x00\x00\xc0\x7f"
    return bytes(raw)


ATTACKS: dict[str, tuple[str, bytes]] = {
    "another width": ("lora_shape", LORA.encode()),
    "another architecture": (
        "lora_arch", ADAPTER.with_value("general.architecture", scalar(STRING, "gemma")).encode(),
    ),
    "a block that the base has not": (
        "lora_target", pair((WIDTH, 4), (4, WIDTH), "blk.2.attn_q.weight").encode(),
    ),
    "three dimensions": ("lora_shape", pair((WIDTH, 4, 2), (4, WIDTH)).encode()),
    "ranks that differ": ("lora_shape", pair((WIDTH, 4), (8, WIDTH)).encode()),
    "a rank bomb": ("lora_shape", pair((WIDTH, 4096), (4096, WIDTH)).encode()),
    "no partner": ("lora_target", replace(ADAPTER, tensors=ADAPTER.tensors[:1]).encode()),
    "numbers that are none": ("weights_nonfinite", of_nan()),
    "a scale that drowns": (
        "lora_scale", ADAPTER.with_value("adapter.lora.alpha", scalar(F32, 1e5)).encode(),
    ),
    "no GGUF": ("magic", b"PK\x03\x04" * 100),
    "nothing": ("truncated", b""),
    "a cut file": ("data_extent", BODY[:-64]),
    "a model": ("artifact_type", GgufFile().encode()),
    "a hostile template": (
        "template_ssti",
        ADAPTER.with_value(
            "tokenizer.chat_template", scalar(STRING, "{{ ''.__class__ }}")
        ).encode(),
    ),
}  # fmt: skip


@pytest.fixture
def lay(home: Home, launcher: LauncherClient, trial: Trial, tmp_path: Path) -> Lay:
    def run(body: bytes = BODY, *, base: str = "tiny", name: str = "laid", scale: int = 1000,
            expect: Expectation | None = None, source: Path | None = None,
            **changes: object) -> CatalogEntry:  # fmt: skip
        file = source or tmp_path / "adapter.gguf"
        if source is None:
            file.write_bytes(body)
        adapter = WantedFile(str(file), expect or Expectation(), None, scale)
        options: dict[str, object] = {
            "wanted": Wanted(laid=adapter), "config": Config(), "launcher": launcher,
            "trial": trial, "home": home,
        }  # fmt: skip
        return derive_model(base, name=name, **options | changes)  # type: ignore[arg-type]

    return run


@pytest.fixture
def base(pull: Pull, model_file: Path) -> Receipt:
    return pull(model_file, name="tiny").receipt


def refused(lay: Lay, home: Home, *arguments: bytes, **more: object) -> CorralError:
    before = left(home), sorted(mark.name for mark in home.trust_marks.iterdir())
    with pytest.raises(CorralError) as caught:
        lay(*arguments, **more)
    after = left(home), sorted(mark.name for mark in home.trust_marks.iterdir())
    assert after == before
    return caught.value


def test_an_adapter_is_tried_receipted_and_kept_with_its_base(
    home: Home, lay: Lay, base: Receipt, trial: Trial
) -> None:
    entry = lay(scale=500)
    receipt, adapter = entry.receipt, entry.receipt.laid
    assert adapter is not None
    assert (adapter.digest, adapter.size_bytes, adapter.scale) == (SHA, len(BODY), 500)
    assert adapter.source.endswith("/adapter.gguf")
    assert (receipt.digest, receipt.template) == (base.digest, base.template)
    assert receipt.estimate.adapter_bytes == len(BODY)
    assert receipt.estimate.private_bytes == base.estimate.private_bytes + len(BODY)
    assert {path.name for path in home.blobs.iterdir()} == {base.digest, SHA}
    marks = {mark.name for mark in home.trust_marks.iterdir()}
    assert marks == {base.digest, pair_digest(Digest(base.digest), SHA, "500")}
    assert wrong_marks(home) == []
    assert trial.loads == 2
    assert check_store(home).troubles == ()
    assert verify_admissions(home).discrepancies == ()


@pytest.mark.claim("DRV-07")
@pytest.mark.parametrize(("code", "body"), ATTACKS.values(), ids=ATTACKS)
def test_a_hostile_adapter_is_refused_and_leaves_nothing(
    home: Home, lay: Lay, base: Receipt, trial: Trial, code: str, body: bytes
) -> None:
    error = refused(lay, home, body)
    assert error.code in {"scan_rejected", "not_gguf", "truncated", "policy_refused"}
    assert code in error.message
    assert trial.loads == 1, "only the base was ever loaded"
    assert lay().name == "laid"  # control


@pytest.mark.claim("DRV-07")
@pytest.mark.parametrize("other", [VECTOR, PROJECTOR], ids=["control vector", "projector"])
def test_what_is_no_adapter_is_not_laid_over_a_model(
    home: Home, lay: Lay, base: Receipt, other: GgufFile
) -> None:
    fitting = other
    if other is VECTOR:
        fitting = replace(VECTOR, tensors=(of_shape("direction.1", WIDTH),)).with_value(
            "controlvector.layer_count", None
        )
    assert refused(lay, home, fitting.encode()).code in {"not_an_adapter", "scan_rejected"}


@pytest.mark.claim("DRV-07")
def test_the_scale_of_the_operator_counts_too(home: Home, lay: Lay, base: Receipt) -> None:
    """Alpha 8 and rank 4: thirty-two times as trained is the most that the scanner lets pass."""
    assert "(lora_scale)" in refused(lay, home, scale=33_000).message
    assert lay(scale=32_000).name == "laid"


@pytest.mark.claim("DRV-07")
def test_an_adapter_is_held_to_what_is_demanded_and_known(
    home: Home, lay: Lay, base: Receipt, tmp_path: Path
) -> None:
    other = Expectation(sha256=Digest("a" * 64))
    assert refused(lay, home, expect=other).code == "hash_mismatch"
    link = tmp_path / "link.gguf"
    link.symlink_to(tmp_path / "adapter.gguf")
    assert refused(lay, home, source=link).code == "source_symlink"
    assert refused(lay, home, source=tmp_path / "none").code == "source_missing"
    know_as_bad(home, SHA)
    assert refused(lay, home).code == "advisory_known_bad"
    (home.advisories / "LOCAL-1.json").unlink()
    assert lay(expect=Expectation(sha256=SHA)).name == "laid"  # control


def know_as_bad(home: Home, digest: str) -> None:
    home.advisories.mkdir(exist_ok=True)
    record = {
        "schema_version": "1.7.0", "id": "LOCAL-1", "modified": "2026-01-01T00:00:00Z",
        "published": "2026-01-01T00:00:00Z", "summary": "bad", "details": "bad",
        "database_specific": {"corral": {"digests": [digest]}},
    }  # fmt: skip
    (home.advisories / "LOCAL-1.json").write_text(json.dumps(record))


@pytest.mark.claim("DRV-07")
@pytest.mark.parametrize("swap", SWAPS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("stage", ["trial", "admit"])
def test_an_adapter_that_is_swapped_in_quarantine_is_not_stored(
    home: Home, lay: Lay, base: Receipt, tmp_path: Path, stage: str, swap: Swap
) -> None:
    done: list[str] = []

    def strike(now: str, _done: int, _total: int) -> None:
        if now == stage and not done:
            done.append(now)
            swap(home.quarantine / "blobs" / SHA, tmp_path / "spare")

    with pytest.raises((CorralError, OSError)):
        lay(progress=strike)
    assert done
    assert names(home) == {"tiny"}
    assert not home.blob(SHA).exists()


@pytest.mark.claim("DRV-03")
def test_an_adapter_of_anybody_lowers_the_trust_of_the_whole(
    home: Home, pull: Pull, lay: Lay, model_file: Path
) -> None:
    digest = Digest(hashlib.sha256(model_file.read_bytes()).hexdigest())
    assert pull(model_file, name="tiny", expect=Expectation(sha256=digest)).trust == "verified"
    entry = lay()
    assert entry.trust == "untrusted"
    assert "what its adapter gets decides" in entry.receipt.decision.reasons[0]
    mark = home.trust_mark(pair_digest(digest, SHA, "1000"))
    assert mark.read_text() == "untrusted"
    assert home.trust_mark(digest).read_text() == "verified", "the base alone is what it was"
    (again,) = redecide(home, ["laid"]).models
    assert again.after.trust == "untrusted"
    # Control: demanded as well, it is as good as its base.
    assert lay(name="demanded", expect=Expectation(sha256=SHA)).trust == "verified"
    remove_entry(home, "tiny")
    assert home.trust_mark(digest).read_text() == "untrusted", "nothing vouches for it alone"


@pytest.mark.claim("DRV-03")
def test_a_policy_that_refuses_the_adapter_refuses_the_whole(
    home: Home, pull: Pull, lay: Lay, model_file: Path, base: Receipt
) -> None:
    rules = f'[[grant]]\nrule = "one"\nlevel = "trusted"\ndigests = ["{base.digest}"]\nwhy = "w"\n'
    redecide(home, None, policy=(HEAD + rules).encode())
    error = refused(lay, home)
    assert error.code == "policy_refused"
    both = rules.replace('"]', f'", "{SHA}"]')
    redecide(home, None, policy=(HEAD + both).encode())
    assert lay().trust == "trusted"  # control


@pytest.mark.claim("DRV-04")
def test_another_adapter_or_scale_is_another_artifact(home: Home, lay: Lay, base: Receipt) -> None:
    first = lay()
    assert refused(lay, home, scale=500).code == "name_taken"
    other = ADAPTER.with_value("general.name", scalar(STRING, "other")).encode()
    assert refused(lay, home, other).code == "name_taken"
    found = {base.identity, first.identity, lay(name="half", scale=500).identity,
             lay(other, name="other").identity}  # fmt: skip
    assert len(found) == 4
    assert lay().identity == first.identity


@pytest.mark.claim("DRV-05")
def test_each_file_goes_with_the_last_that_has_it(home: Home, lay: Lay, base: Receipt) -> None:
    lay()
    lay(name="half", scale=500)
    own = Digest(base.digest)
    remove_entry(home, "tiny")
    remove_entry(home, "laid")
    assert collect_garbage(home) == ()
    assert home.blob(SHA).exists()
    assert home.blob(own).exists()
    assert {mark.name for mark in home.trust_marks.iterdir()} == {own, pair_digest(own, SHA, "500")}
    remove_entry(home, "half")
    assert list(home.blobs.iterdir()) == []
    assert list(home.trust_marks.iterdir()) == []


@pytest.mark.claim("DRV-05")
def test_an_adapter_that_rotted_or_went_is_told_and_served_no_more(
    home: Home, lay: Lay, base: Receipt
) -> None:
    lay()
    blob = home.blob(SHA)
    blob.unlink()
    assert [one.kind for one in verify_admissions(home).discrepancies] == ["blob_missing"]
    assert [(one.kind, one.where) for one in check_store(home).troubles] == [("missing", SHA)]
    blob.write_bytes(b"x" * len(BODY))
    blob.chmod(0o444)
    (trouble,) = check_store(home).troubles
    assert (trouble.kind, trouble.models) == ("rotten", ("laid",))
    assert names(home) == {"tiny"}
    assert {mark.name for mark in home.trust_marks.iterdir()} == {base.digest}
    assert check_store(home).troubles == ()


@pytest.mark.claim("DRV-08")
def test_what_is_held_back_has_no_mark_and_lies_elsewhere(
    home: Home, lay: Lay, base: Receipt
) -> None:
    lay()
    mark = home.trust_mark(pair_digest(Digest(base.digest), SHA, "1000"))
    assert mark.exists()
    know_as_bad(home, SHA)
    (decided,) = redecide(home, ["laid"]).models
    assert decided.after.decision.outcome == "hold"
    assert not mark.exists()
    assert (held_blobs(home) / SHA).exists()
    assert home.blob(Digest(base.digest)).exists(), "the base alone is served on"
    (home.advisories / "LOCAL-1.json").unlink()
    redecide(home, ["laid"])
    assert mark.exists()
    assert home.blob(SHA).exists()
    redecide(home, None, policy=(HEAD + ANYTHING + NOTHING).encode())
    assert list(home.blobs.iterdir()) == []
    assert wrong_marks(home) == []


def test_an_adapter_counts_in_the_memory_of_a_worker(home: Home, lay: Lay, base: Receipt) -> None:
    engine = Engine(memory_bytes=base.estimate.total_bytes)
    assert refused(lay, home, config=Config(engine=engine)).code == "over_ceiling"
    roomy = Engine(memory_bytes=base.estimate.total_bytes + len(BODY))
    assert lay(config=Config(engine=roomy)).name == "laid"


def test_a_trial_that_fails_leaves_nothing(
    home: Home, lay: Lay, base: Receipt, trial: Trial
) -> None:
    trial.ok = False
    assert refused(lay, home).code == "trial_failed"
    trial.ok = True
    before = left(home)
    assert lay(dry_run=True).name == "laid"
    assert left(home) == before


def test_the_bom_has_both_files(lay: Lay, base: Receipt) -> None:
    document = make_bom(lay(scale=250).receipt, "0" * 64)
    model, adapter = sorted(document["components"], key=lambda one: len(one["name"]))
    assert [one["hashes"][0]["content"] for one in (model, adapter)] == [base.digest, SHA]
    assert {"name": "corral:adapter_scale", "value": "0.25"} in adapter["properties"]
    (link,) = [one for one in document["dependencies"] if one.get("dependsOn")]
    assert (link["ref"], link["dependsOn"]) == (f"sha256:{base.digest}", [f"sha256:{SHA}"])
    assert "modelCard" in model


def test_a_policy_in_force_meanwhile_decides(home: Home, lay: Lay, base: Receipt) -> None:
    def change(now: str, _done: int, _total: int) -> None:
        if now == "admit":
            install_standing(home, (HEAD + ANYTHING).encode())

    assert refused(lay, home, progress=change).code == "policy_changed"
