"""Models are decided anew: what is held back is out of reach until it is decided otherwise."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from corral.admission.catalog import Catalog
from corral.admission.catalog_changes import remove_entry
from corral.admission.expectation import Expectation
from corral.admission.fsck import check_store
from corral.admission.part import PartOfModel
from corral.admission.policy.shipped import default_policy_text
from corral.admission.policy.standing import policy_folder, read_standing
from corral.admission.quarantine import collect_garbage, sweep_quarantine
from corral.admission.receipt import Receipt
from corral.admission.redeciding import redecide
from corral.admission.trust_marks import held_blobs
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.admitted_row import make_receipt, put_receipt
from tests.support.gguf_file import GgufFile
from tests.support.policies import ANYTHING, HEAD
from tests.unit.admission.conftest import Pull, Trial

SHA = Digest(hashlib.sha256(GgufFile().encode()).hexdigest())
SIGNED = (HEAD + ANYTHING.replace("why", 'signers = ["lab"]\nwhy')).encode()
PINNED = (HEAD + ANYTHING.replace("why", 'evidence = ["sha256"]\nwhy')).encode()
TRUSTING = (HEAD + ANYTHING.replace("untrusted", "trusted")).encode()


def usable(home: Home) -> dict[str, Receipt]:
    with closing(Catalog(home.database, home.receipt_public_key.read_bytes())) as catalog:
        return {name: entry.receipt for name, entry in catalog.entries().items()}


def rows(home: Home) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home.database)) as connection:
        return connection.execute("SELECT name, receipt, signature FROM models").fetchall()


def put_back(home: Home, old: list[tuple[object, ...]]) -> None:
    """Do what the gateway's zone could do: write the database."""
    with closing(sqlite3.connect(home.database)) as connection, connection:
        for name, text, signature in old:
            connection.execute(
                "UPDATE models SET receipt = ?, signature = ? WHERE name = ?",
                (text, signature, name),
            )


@pytest.mark.claim("POL-06")
def test_what_is_held_back_cannot_be_started_and_comes_back(
    home: Home, pull: Pull, model_file: Path, trial: Trial
) -> None:
    first = pull(model_file).receipt
    assert home.blob(SHA).exists()  # control: before, the launcher can open it
    (one,) = redecide(home, None, policy=SIGNED).models
    assert (one.before, one.after.decision.outcome) == (first, "hold")
    assert usable(home) == {}
    assert not home.blob(SHA).exists()
    assert (held_blobs(home) / SHA).exists()
    assert list(home.trust_marks.iterdir()) == []
    # Neither a start nor garbage collection changes that, and fsck misses nothing.
    sweep_quarantine(home)
    assert collect_garbage(home) == ()
    assert check_store(home).troubles == ()
    assert (held_blobs(home) / SHA).exists()
    assert not home.blob(SHA).exists()
    # Another policy lets it in again, with nothing fetched or tried.
    redecide(home, None, policy=TRUSTING)
    assert usable(home)["tiny"].trust == "trusted"
    assert (home.trust_marks / SHA).read_text() == "trusted"
    assert home.blob(SHA).read_bytes() == model_file.read_bytes()
    assert trial.loads == 1


@pytest.mark.claim("POL-06")
def test_an_old_receipt_that_is_put_back_opens_nothing(
    home: Home, pull: Pull, model_file: Path
) -> None:
    pull(model_file)
    old = rows(home)
    redecide(home, None, policy=SIGNED)
    put_back(home, old)
    assert set(usable(home)) == {"tiny"}  # its signature is good: only its time betrays it
    sweep_quarantine(home)
    assert not home.blob(SHA).exists()
    assert list(home.trust_marks.iterdir()) == []


@pytest.mark.claim("POL-06")
def test_an_old_level_that_is_put_back_chooses_no_weaker_tier(
    home: Home, pull: Pull, model_file: Path
) -> None:
    pull(model_file)
    redecide(home, None, policy=TRUSTING)
    assert (home.trust_marks / SHA).read_text() == "trusted"  # control
    old = rows(home)
    redecide(home, None, policy=default_policy_text())
    put_back(home, old)
    sweep_quarantine(home)
    assert not (home.trust_marks / SHA).exists()


def test_one_name_of_a_blob_is_held_back_and_the_other_is_not(
    home: Home, pull: Pull, model_file: Path
) -> None:
    pull(model_file, name="plain")
    pull(model_file, name="pinned", expect=Expectation(sha256=SHA))
    redecide(home, None, policy=PINNED)
    assert set(usable(home)) == {"pinned"}
    assert home.blob(SHA).exists()
    remove_entry(home, "pinned")
    assert not home.blob(SHA).exists()
    remove_entry(home, "plain")
    assert not (held_blobs(home) / SHA).exists()


def test_a_model_that_is_held_back_is_pulled_again_with_what_is_demanded(
    home: Home, pull: Pull, model_file: Path
) -> None:
    pull(model_file)
    redecide(home, None, policy=PINNED)
    assert usable(home) == {}
    again = pull(model_file, expect=Expectation(sha256=SHA)).receipt
    assert not again.readmitted_from_store
    assert set(usable(home)) == {"tiny"}
    assert home.blob(SHA).exists()
    assert not (held_blobs(home) / SHA).exists()


def test_one_model_under_another_policy_leaves_the_standing_one(
    home: Home, pull: Pull, model_file: Path
) -> None:
    pull(model_file, name="one")
    pull(model_file, name="two")
    outcome = redecide(home, ["one"], policy=SIGNED)
    assert not outcome.installed
    assert set(usable(home)) == {"two"}
    assert read_standing(home).policy.name == "corral-default"
    redecide(home, ["one"])
    assert set(usable(home)) == {"one", "two"}


def test_a_dry_run_changes_nothing(home: Home, pull: Pull, model_file: Path) -> None:
    pull(model_file)
    before = rows(home)
    (one,) = redecide(home, None, policy=SIGNED, dry_run=True).models
    assert one.after.decision.outcome == "hold"
    assert rows(home) == before
    assert home.blob(SHA).exists()
    assert read_standing(home).policy.name == "corral-default"


@pytest.mark.claim("POL-06")
def test_what_an_advisory_names_is_held_back(home: Home, pull: Pull, model_file: Path) -> None:
    pull(model_file)
    assert redecide(home, None).models[0].after.decision.outcome == "admit"  # control
    home.advisories.mkdir(exist_ok=True)
    record = {
        "schema_version": "1.7.0", "id": "OPS-1", "modified": "2026-01-01T00:00:00Z",
        "summary": "bad", "database_specific": {"corral": {"digests": [SHA]}},
    }  # fmt: skip
    (home.advisories / "ops.json").write_text(json.dumps(record))
    decision = redecide(home, None).models[0].after.decision
    assert (decision.outcome, decision.rule) == ("hold", "OPS-1")
    assert not home.blob(SHA).exists()


@pytest.mark.claim("POL-06")
def test_what_an_advisory_names_of_a_joined_model_is_held_back(home: Home) -> None:
    part = PartOfModel(name="m-00002-of-00002.gguf", sha256="b" * 64, size_bytes=5)
    put_receipt(home, make_receipt(name="joined", parts=(part,)))
    put_receipt(home, make_receipt(name="other"))
    home.advisories.mkdir(exist_ok=True)
    record = {
        "id": "OPS-2", "modified": "2026-01-01T00:00:00Z", "summary": "bad",
        "database_specific": {"corral": {"digests": [part.sha256]}},
    }  # fmt: skip
    (home.advisories / "ops.json").write_text(json.dumps(record))
    joined, other = redecide(home, None).models
    assert (joined.after.decision.outcome, joined.after.decision.rule) == ("hold", "OPS-2")
    assert other.after.decision.outcome == "admit"  # control


def test_a_broken_standing_policy_is_replaced_by_a_new_one(
    home: Home, pull: Pull, model_file: Path
) -> None:
    pull(model_file)
    (policy_folder(home) / "standing.toml").unlink()
    with pytest.raises(CorralError, match="policy_missing"):
        redecide(home, None)
    assert redecide(home, None, policy=TRUSTING).installed
    assert usable(home)["tiny"].trust == "trusted"


def test_an_unknown_name_changes_nothing(home: Home, pull: Pull, model_file: Path) -> None:
    pull(model_file)
    before = rows(home)
    with pytest.raises(CorralError, match="no_such_model"):
        redecide(home, ["tiny", "none"], policy=SIGNED)
    assert rows(home) == before
