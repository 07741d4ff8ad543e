"""A detector is installed whole or not at all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from corral.admission.detector import (
    install_detector,
    installed_manifest,
    remove_detector,
    unpack_detector,
)
from corral.core.errors import CorralError
from corral.core.home import Home
from tests.support.tiny_detector import make_detector


def files(home: Home) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.detector.iterdir()}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.mark.claim("DET-06")
def test_what_is_unfit_changes_nothing(home: Home, tmp_path: Path) -> None:
    sound = make_detector(tmp_path / "sound")
    install_detector(home, lambda target: unpack_detector(sound, target), lambda: None)
    before = files(home)
    other = make_detector(tmp_path / "other", name='"other"')

    def unfit() -> None:
        raise CorralError("detector_untrustworthy", "no")

    with pytest.raises(CorralError) as refused:
        install_detector(home, lambda target: unpack_detector(other, target), unfit)
    assert refused.value.code == "detector_untrustworthy"
    (other / "model.onnx").write_bytes(b"changed")
    with pytest.raises(CorralError) as refused:
        install_detector(home, lambda target: unpack_detector(other, target), lambda: None)
    assert refused.value.code == "detector_invalid"
    assert files(home) == before
    assert [path.name for path in home.root.iterdir()] == ["detector"]


def test_installed_files_are_read_only_and_nothing_else_comes_along(
    home: Home, tmp_path: Path
) -> None:
    sound = make_detector(tmp_path / "sound")
    (sound / "more.py").write_text("x")
    assert installed_manifest(home) is None
    install_detector(home, lambda target: unpack_detector(sound, target), lambda: None)
    assert set(files(home)) == {"model.onnx", "tokenizer.json", "detector.toml"}
    assert {path.stat().st_mode & 0o777 for path in home.detector.iterdir()} == {0o444}
    assert home.detector.stat().st_mode & 0o777 == 0o755
    found = installed_manifest(home)
    assert found is not None
    assert found.name == "tiny"
    assert remove_detector(home) is True
    assert remove_detector(home) is False
    assert installed_manifest(home) is None


@pytest.mark.parametrize("kind", ["absent", "wheel", "folder"])
def test_what_is_no_detector_is_refused(home: Home, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "wheel":
        with zipfile.ZipFile(place, "w") as wheel:
            wheel.writestr("stackone_defender/models/minilm-multihead-v5/tokenizer.json", "{}")
    elif kind == "folder":
        place.mkdir()
    with pytest.raises(CorralError) as refused:
        install_detector(home, lambda target: unpack_detector(place, target), lambda: None)
    assert refused.value.code == "detector_invalid"
    assert not home.detector.exists()
