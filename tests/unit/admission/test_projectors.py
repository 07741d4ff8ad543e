"""Projectors laid over admitted models: checked beside their base, named, kept and started."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.admission.bom import make_bom
from corral.admission.catalog import CatalogEntry
from corral.admission.catalog_changes import remove_entry
from corral.admission.deriving import Wanted, WantedFile, derive_model
from corral.admission.expectation import Expectation
from corral.admission.fsck import check_store
from corral.admission.receipt import Receipt
from corral.admission.redeciding import redecide
from corral.admission.trust_marks import wrong_marks
from corral.cli.model_sheet import model_sheet
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, pair_digest
from corral.engine.sizing import engine_start
from tests.support.additions import ADAPTER, VECTOR
from tests.support.gguf_file import U32, WIDTH, scalar
from tests.unit.admission import test_adapters
from tests.unit.admission.conftest import Pull, Trial
from tests.unit.admission.scan.test_projector import FITTING
from tests.unit.admission.test_adapters import know_as_bad
from tests.unit.admission.test_deriving import left
from tests.unit.admission.test_swaps import SWAPS, Swap

# Fixtures.
base = test_adapters.base

Lay = Callable[..., CatalogEntry]

BODY = FITTING.encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())


@pytest.fixture
def lay(home: Home, launcher: LauncherClient, trial: Trial, tmp_path: Path) -> Lay:
    def run(body: bytes = BODY, *, name: str = "eyes", expect: Expectation | None = None,
            **changes: object) -> CatalogEntry:  # fmt: skip
        file = tmp_path / "mmproj.gguf"
        file.write_bytes(body)
        wanted = Wanted(laid=WantedFile(str(file), expect or Expectation(), None, None))
        options = {"config": Config(), "launcher": launcher, "trial": trial, "home": home} | changes
        return derive_model("tiny", name=name, wanted=wanted, **options)  # type: ignore[arg-type]

    return run


def refused(lay: Lay, home: Home, *arguments: bytes, **more: object) -> CorralError:
    before = left(home)
    with pytest.raises(CorralError) as caught:
        lay(*arguments, **more)
    assert left(home) == before
    return caught.value


@pytest.mark.claim("VISION-01")
def test_a_projector_is_tried_receipted_and_kept_with_its_base(
    home: Home, lay: Lay, base: Receipt, trial: Trial
) -> None:
    receipt = lay().receipt
    assert receipt.laid is not None
    assert (receipt.laid.digest, receipt.laid.size_bytes) == (SHA, len(BODY))
    assert (receipt.digest, receipt.template) == (base.digest, base.template)
    assert (base.modalities, receipt.modalities) == (frozenset(), {"image"})
    assert receipt.identity != base.identity
    assert receipt.estimate.projector_bytes > len(BODY)
    assert receipt.estimate.private_bytes > base.estimate.private_bytes
    marks = {mark.name for mark in home.trust_marks.iterdir()}
    assert marks == {base.digest, pair_digest(Digest(base.digest), SHA, "projector")}
    assert wrong_marks(home) == []
    assert trial.loads == 2
    assert check_store(home).troubles == ()
    start = engine_start(
        tenant="acme", model="eyes", digest=Digest(receipt.digest), receipt=receipt,
        config=Config(), derivation=receipt.derivation,
    )  # type: ignore[arg-type]  # fmt: skip
    assert (start.projector, start.adapter) == (SHA, "")
    remove_entry(home, "tiny")
    assert {path.name for path in home.blobs.iterdir()} == {base.digest, SHA}
    remove_entry(home, "eyes")
    assert list(home.blobs.iterdir()) == []


@pytest.mark.claim("VISION-01")
@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        (ADAPTER.encode(), "not_a_projector", ""),
        (VECTOR.encode(), "scan_rejected", ""),
        (b"GGUF", "truncated", ""),
        (
            FITTING.with_value("clip.vision.patch_size", scalar(U32, 0)).encode(),
            "scan_rejected", "clip_hparams",
        ),
        (
            FITTING.with_value("clip.vision.projection_dim", scalar(U32, 2 * WIDTH))
            .encode().replace(b"mm.0.weight", b"xm.0.weight"),
            "scan_rejected", "clip_hparams",
        ),
    ],
    ids=["an adapter", "a control vector", "nothing", "hostile", "of another base"],
)  # fmt: skip
def test_what_is_no_projector_for_the_base_is_refused_and_leaves_nothing(
    home: Home, lay: Lay, base: Receipt, trial: Trial, body: bytes, code: str, named: str
) -> None:
    error = refused(lay, home, body)
    assert error.code == code
    assert named in error.message
    assert trial.loads == 1, "only the base was ever loaded"
    assert lay().name == "eyes"  # control


@pytest.mark.claim("VISION-01")
def test_a_projector_is_held_to_what_is_demanded_known_and_tried(
    home: Home, lay: Lay, base: Receipt, trial: Trial
) -> None:
    other = Expectation(sha256=Digest("a" * 64))
    assert refused(lay, home, expect=other).code == "hash_mismatch"
    know_as_bad(home, SHA)
    assert refused(lay, home).code == "advisory_known_bad"
    (home.advisories / "LOCAL-1.json").unlink()
    trial.ok = False
    assert refused(lay, home).code == "trial_failed"
    trial.ok = True
    assert lay(expect=Expectation(sha256=SHA)).name == "eyes"  # control


@pytest.mark.claim("VISION-01")
@pytest.mark.parametrize("swap", SWAPS, ids=lambda one: one.__name__)
def test_a_projector_that_is_swapped_in_quarantine_is_not_stored(
    home: Home, lay: Lay, base: Receipt, tmp_path: Path, swap: Swap
) -> None:
    done: list[str] = []

    def strike(now: str, _done: int, _total: int) -> None:
        if now == "admit" and not done:
            done.append(now)
            swap(home.quarantine / "blobs" / SHA, tmp_path / "spare")

    with pytest.raises((CorralError, OSError)):
        lay(progress=strike)
    assert done
    assert not home.blob(SHA).exists()


@pytest.mark.claim("VISION-01")
def test_a_projector_of_anybody_lowers_the_trust_of_the_whole(
    home: Home, pull: Pull, lay: Lay, model_file: Path
) -> None:
    digest = Digest(hashlib.sha256(model_file.read_bytes()).hexdigest())
    assert pull(model_file, name="tiny", expect=Expectation(sha256=digest)).trust == "verified"
    entry = lay()
    assert entry.trust == "untrusted"
    assert "what its projector gets decides" in entry.receipt.decision.reasons[0]
    (again,) = redecide(home, ["eyes"]).models
    assert again.after.trust == "untrusted"
    assert lay(name="demanded", expect=Expectation(sha256=SHA)).trust == "verified"  # control


def test_people_are_told_what_a_model_takes(lay: Lay, base: Receipt) -> None:
    receipt = lay().receipt
    sheet = {title: dict(facts) for title, facts in model_sheet(receipt)}
    assert (sheet["projector"]["sha256"], sheet["projector"]["takes"]) == (SHA, "image")
    assert "adapter" not in sheet
    assert "  projector and images" in sheet["resources"]
    bom = make_bom(receipt, "a" * 64)
    found = {one["name"]: one for one in bom["components"]}
    assert set(found) == {"eyes", "Projector of eyes"}
    inputs = found["eyes"]["modelCard"]["modelParameters"]["inputs"]
    assert inputs == [{"format": "text"}, {"format": "image"}]
