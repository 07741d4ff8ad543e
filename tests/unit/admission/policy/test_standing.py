"""The standing policy: what is missing, cannot be read or was changed decides nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.admission.catalog import Catalog
from corral.admission.catalog_changes import remove_entry
from corral.admission.expectation import Expectation
from corral.admission.fsck import check_store
from corral.admission.policy.shipped import default_policy_text
from corral.admission.policy.standing import install_standing, policy_folder, read_standing
from corral.admission.quarantine import sweep_quarantine
from corral.admission.trusted_model import Estimated
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.policies import ANYTHING, HEAD
from tests.unit.admission.conftest import Pull, Trial

OPEN = (HEAD + ANYTHING).encode()


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(CorralError) as caught:
        action()
    return caught.value.code


def text_of(home: Home) -> Path:
    return policy_folder(home) / "standing.toml"


def record_of(home: Home) -> Path:
    return policy_folder(home) / "standing.json"


def replace_file(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def forged(home: Home, **changes: object) -> None:
    record = json.loads(record_of(home).read_bytes())
    replace_file(record_of(home), json.dumps(record | changes).encode())


ATTACKS: dict[str, tuple[str, Callable[[Home], object]]] = {
    "text-gone": ("policy_missing", lambda home: text_of(home).unlink()),
    "record-gone": ("policy_missing", lambda home: record_of(home).unlink()),
    "folder-gone": ("policy_missing", lambda home: policy_folder(home).rename(home.root / "x")),
    "text-changed": ("policy_tampered", lambda home: replace_file(text_of(home), OPEN)),
    "comment-added": (
        "policy_tampered",
        lambda home: replace_file(text_of(home), text_of(home).read_bytes() + b"#\n"),
    ),
    "record-forged": ("policy_tampered", lambda home: forged(home, policy_sha256="0" * 64)),
    "time-changed": ("policy_tampered", lambda home: forged(home, installed_at=1)),
    "record-no-json": ("policy_tampered", lambda home: replace_file(record_of(home), b"{")),
    "text-a-folder": (
        "policy_unreadable", lambda home: (text_of(home).unlink(), text_of(home).mkdir())
    ),
}  # fmt: skip


@pytest.mark.claim("POL-05")
@pytest.mark.parametrize("attack", ATTACKS)
def test_without_the_policy_that_was_installed_nothing_is_decided(
    home: Home, pull: Pull, model_file: Path, trial: Trial, attack: str
) -> None:
    code, change = ATTACKS[attack]
    assert read_standing(home).policy.name == "corral-default"
    change(home)
    assert code_of(lambda: read_standing(home)) == code
    assert code_of(lambda: pull(model_file)) == code
    assert trial.loads == 0
    assert list((home.quarantine).glob("blobs/*")) == []
    # Control: a policy that is installed anew lets the same model in.
    if text_of(home).is_dir():
        text_of(home).rmdir()
    install_standing(home, default_policy_text())
    assert pull(model_file).trust == "untrusted"


@pytest.mark.claim("POL-05")
def test_with_models_a_start_is_refused_too(home: Home, pull: Pull, model_file: Path) -> None:
    pull(model_file)
    sweep_quarantine(home)
    replace_file(text_of(home), OPEN)
    assert code_of(lambda: sweep_quarantine(home)) == "policy_tampered"


def test_a_policy_that_is_wrong_is_not_installed(home: Home) -> None:
    assert code_of(lambda: install_standing(home, b"format = 1")) == "policy_value"
    assert read_standing(home).policy.name == "corral-default"


def test_its_time_is_after_every_decision(home: Home) -> None:
    first = read_standing(home)
    later = install_standing(home, OPEN, after_s=first.installed_at + 1000)
    assert later.installed_at == first.installed_at + 1001
    assert later.now_s() == later.installed_at
    assert read_standing(home) == later


@pytest.mark.claim("POL-04")
def test_a_pull_takes_the_standing_policy(home: Home, pull: Pull, model_file: Path) -> None:
    signed_only = (HEAD + ANYTHING.replace("why", 'evidence = ["sha256"]\nwhy')).encode()
    install_standing(home, signed_only)
    assert code_of(lambda: pull(model_file)) == "policy_refused"
    assert list(home.blobs.iterdir()) == []
    # Control: what the policy demands is given, and the receipt says by which rule.
    digest = Digest(hashlib.sha256(model_file.read_bytes()).hexdigest())
    entry = pull(model_file, expect=Expectation(sha256=digest))
    decision = entry.receipt.decision
    assert (decision.policy, decision.rule, decision.outcome) == ("p", "any", "admit")
    assert decision.policy_sha256 == read_standing(home).policy.sha256


@pytest.mark.claim("POL-04")
def test_a_policy_that_came_meanwhile_is_not_gone_around(
    home: Home, pull: Pull, model_file: Path, trial: Trial
) -> None:
    load = trial.load

    def meanwhile(estimated: Estimated) -> object:
        install_standing(home, OPEN)
        return load(estimated)

    trial.load = meanwhile  # type: ignore[method-assign,assignment]
    assert code_of(lambda: pull(model_file)) == "policy_changed"
    assert not Catalog(home.database, home.receipt_public_key.read_bytes()).entries()
    trial.load = load  # type: ignore[method-assign]
    assert pull(model_file).receipt.decision.policy == "p"


def test_fsck_and_rm_say_that_the_policy_is_broken(
    home: Home, pull: Pull, model_file: Path
) -> None:
    pull(model_file)
    assert check_store(home).troubles == ()
    record_of(home).unlink()
    (trouble,) = check_store(home).troubles
    assert (trouble.kind, "policy_missing" in trouble.message) == ("policy", True)
    assert code_of(lambda: remove_entry(home, "tiny")) == "policy_missing"
    models = Catalog(home.database, home.receipt_public_key.read_bytes())
    assert set(models.entries()) == {"tiny"}
