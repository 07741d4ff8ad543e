"""`corral lock`, and what `corral pull` says of lock files before it starts a jail."""

from pathlib import Path

import pytest

from corral.admission.lock_file import read_lock
from corral.core.home import Home
from tests.support.admitted_row import make_receipt, put_receipt
from tests.support.command_line import Corral


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_admitted_models_are_locked(corral: Corral, home: Home, project: Path) -> None:
    place = ("--home", str(home.root))
    put_receipt(home, make_receipt(name="one", source=f"file://{project}/sub/m.gguf"))
    put_receipt(home, make_receipt(name="two", source="hf://o/r/m.gguf@main", revision="c0ffee"))
    assert corral("lock", "two", *place, "--json").document["models"] == ["two"]
    assert "2 models" in corral("lock", *place).err
    models = read_lock(project / "corral.lock").models
    assert (models["one"].source, models["two"].revision) == ("./sub/m.gguf", "c0ffee")
    assert corral("lock", "none", *place, "--json").error_code == "no_such_model"


def test_a_pull_that_cannot_use_the_lock_file_fetches_nothing(
    corral: Corral, home: Home, project: Path
) -> None:
    def code_of(*arguments: str) -> str:
        return corral("pull", *arguments, "--home", str(home.root), "--json").error_code

    assert code_of("--locked") == "lock_missing"
    assert code_of("./m.gguf", "--lock", "none/corral.lock") == "lock_unwritable"
    assert code_of("https://h.example/m.gguf?k=1", "--lock", "corral.lock") == "lock_source"
    (project / "corral.lock").write_text("version = 2")
    assert code_of("./m.gguf") == code_of("--locked") == "lock_malformed"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--locked", "--sha256", "0" * 64), ("--locked", "--name", "m"), ("--locked", "--no-lock"),
        ("--no-lock", "a", "--upgrade"), (), ("a", "b"), ("a", "--signed-name", "n"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_does_not_go_together(corral: Corral, arguments: tuple[str, ...]) -> None:
    assert corral("pull", *arguments).code == 2
