"""A known digest takes the short way: no check is skipped, and the receipt tells what was done."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from corral.admission.catalog import Catalog
from corral.admission.catalog_changes import put_rows
from corral.admission.expectation import Expectation
from corral.admission.progress import no_progress
from corral.admission.readmission import readmit
from corral.admission.receipt import sign_receipt
from corral.admission.source import LocalSource
from corral.admission.trial import installed_engine
from corral.advisories.database import Advisories
from corral.core.config import Config, Engine, Fetch
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, ModelName
from corral.pki.receipt_key import load_receipt_key
from tests.support.gguf_file import F32, GgufFile, scalar
from tests.unit.admission.conftest import Pull, Trial

BODY = GgufFile().encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())
KNOWN = Expectation(sha256=SHA)


def test_the_receipt_tells_where_the_bytes_were_from_and_what_was_asked(
    home: Home, pull: Pull, model_file: Path, trial: Trial
) -> None:
    first = pull(model_file).receipt
    second = pull("hf://org/repo/m.gguf", name="second", expect=KNOWN).receipt
    assert trial.loads == 1
    assert (first.readmitted_from_store, first.asked_source) == (False, "")
    assert (second.readmitted_from_store, second.asked_source) == (
        True, "hf://org/repo/m.gguf@main",
    )  # fmt: skip
    assert second.source == f"file://{model_file}"
    assert (second.trust, second.sha256_demanded) == ("verified", True)
    kept = ("source", "final_url", "wheel_sha256", "revision", "fetched_at", "engine", "scanner")
    assert [getattr(second, name) for name in kept] == [getattr(first, name) for name in kept]
    third = pull(model_file, name="third", expect=KNOWN).receipt
    assert (third.source, third.asked_source) == (f"file://{model_file}", f"file://{model_file}")
    shown = Catalog(home.database, home.receipt_public_key.read_bytes()).entries()
    assert shown["second"].receipt == second


def test_memory_is_estimated_for_the_configuration_of_now(
    home: Home, pull: Pull, model_file: Path, trial: Trial
) -> None:
    small, large = (Config(engine=Engine(context_tokens=tokens)) for tokens in (256, 2048))
    first = pull(model_file, config=small).receipt
    second = pull(model_file, name="second", expect=KNOWN, config=large).receipt
    assert (first.estimate.context_tokens, second.estimate.context_tokens) == (256, 2048)
    assert second.estimate.total_bytes > first.estimate.total_bytes
    tight = Config(engine=Engine(memory_max_bytes=16 << 20))
    with pytest.raises(CorralError) as caught:
        pull(model_file, name="third", expect=KNOWN, config=tight)
    assert caught.value.code == "over_ceiling"
    assert trial.loads == 1


@pytest.mark.claim("ADM-16")
def test_a_local_source_is_checked_as_on_the_long_way(
    home: Home, pull: Pull, model_file: Path, tmp_path: Path, trial: Trial
) -> None:
    pull(model_file)
    link = tmp_path / "link.gguf"
    link.symlink_to(model_file)
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    other = tmp_path / "other.gguf"
    other.write_bytes(BODY[:-1] + b"x")
    for code, source in (
        ("source_symlink", link),
        ("source_not_a_file", tmp_path),
        ("source_not_a_file", pipe),
        ("source_missing", tmp_path / "none.gguf"),
        ("hash_mismatch", other),
    ):
        with pytest.raises(CorralError) as caught:
            pull(source, name="again", expect=KNOWN)
        assert caught.value.code == code
    assert set(Catalog(home.database, home.receipt_public_key.read_bytes()).entries()) == {"tiny"}
    assert pull(model_file, name="again", expect=KNOWN).receipt.readmitted_from_store
    assert trial.loads == 1


@pytest.mark.claim("ADM-16")
def test_the_size_cap_holds(pull: Pull, model_file: Path, tmp_path: Path) -> None:
    pull(model_file)
    long = tmp_path / "long.gguf"
    long.write_bytes(BODY + b"x" * 100)
    for source, max_bytes in ((model_file, len(BODY) - 1), (long, len(BODY))):
        with pytest.raises(CorralError) as caught:
            pull(
                source, name="again", expect=KNOWN, config=Config(fetch=Fetch(max_bytes=max_bytes))
            )
        assert caught.value.code == "too_large"


@pytest.mark.claim("HOST-03")
def test_the_launchers_mark_follows(home: Home, pull: Pull, model_file: Path) -> None:
    pull(model_file)
    mark = home.trust_marks / SHA
    assert mark.read_text() == "untrusted"
    pull(model_file, name="second", expect=KNOWN)
    assert mark.read_text() == "untrusted"  # the least trusted name of the blob counts
    pull(model_file, expect=KNOWN)
    assert mark.read_text() == "verified"


@pytest.mark.claim("ADM-16")
@pytest.mark.parametrize("field", ["engine", "scanner", "procedure"])
def test_after_an_upgrade_the_model_goes_the_whole_way(
    home: Home, pull: Pull, model_file: Path, trial: Trial, field: str
) -> None:
    old = msgspec.structs.replace(pull(model_file).receipt, **{field: "older 1"})
    put_rows(home, [(old, *sign_receipt(old, load_receipt_key(home)))], how="pull")
    again = pull(model_file, expect=KNOWN).receipt
    assert trial.loads == 2
    assert not again.readmitted_from_store
    assert getattr(again, field) != "older 1"
    assert pull(model_file, expect=KNOWN).receipt.readmitted_from_store
    assert trial.loads == 2


@pytest.mark.claim("ADM-16")
def test_a_blob_that_is_not_as_it_was_admitted_does_not_count(
    home: Home, pull: Pull, model_file: Path, trial: Trial
) -> None:
    pull(model_file)
    blob = home.blob(SHA)
    blob.unlink()
    blob.write_bytes(BODY[:-1])
    assert not pull(model_file, expect=KNOWN).receipt.readmitted_from_store
    assert blob.read_bytes() == BODY
    blob.unlink()
    blob.symlink_to(model_file)
    assert (
        readmit(
            home, LocalSource(model_file), ModelName("x"), KNOWN, config=Config(),
            progress=no_progress, known_bad=Advisories.of(()),
        )
        is None
    )  # fmt: skip


def test_a_taken_name_stays_taken(pull: Pull, model_file: Path, tmp_path: Path) -> None:
    pull(model_file)
    other = tmp_path / "other.gguf"
    other.write_bytes(GgufFile().with_value("x.y", scalar(F32, 1.5)).encode())
    pull(other)
    with pytest.raises(CorralError) as caught:
        pull(model_file, name="other", expect=KNOWN)
    assert caught.value.code == "name_taken"


def test_the_engines_name_is_what_the_engine_tells() -> None:
    """Else no model would ever take the short way, or one after an upgrade of the engine."""
    program = (
        "from corral.engine.drivers.extension_unsafe import load_extension\n"
        "print('xllamacpp', load_extension()[1])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().strip() == installed_engine()
