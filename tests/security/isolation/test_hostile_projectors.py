"""What ends the bare engine is refused by the scan: real projectors with one number changed."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.cli.models import find_model
from corral.core.home import Home
from tests.support.real_projector import write_projector
from tests.support.scanned import scan
from tests.support.server import MODEL


@pytest.fixture(scope="module")
def model(model_home: Path) -> Path:
    home = Home(model_home)
    return home.blob(find_model(home, MODEL).digest)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("sound") / "mmproj.gguf"
    write_projector(file, width=576)
    return file.read_bytes()


def with_number(raw: bytes, key: str, value: int) -> bytes:
    """Return a file with another number behind a key; its type stays."""
    name = f"clip.vision.{key}".encode()
    place = raw.index(name) + len(name) + 4
    return raw[:place] + struct.pack("<I", value) + raw[place + 4 :]


def with_flag_of_another_type(raw: bytes) -> bytes:
    place = raw.index(b"clip.use_gelu") + len("clip.use_gelu")
    return raw[:place] + struct.pack("<I", 0) + raw[place + 4 :]


def shown(model: Path, file: Path) -> tuple[int, str]:
    """Return how the bare engine ended that was shown an image, and what it counted."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.bare_projector_unsafe", str(model), str(file)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
    )  # fmt: skip
    return done.returncode, done.stdout


ATTACKS: dict[str, Callable[[bytes], bytes]] = {
    "no heads": lambda raw: with_number(raw, "attention.head_count", 0),
    "heads that do not divide": lambda raw: with_number(raw, "attention.head_count", 3),
    "a patch larger than the image": lambda raw: with_number(raw, "patch_size", 64),
    "a scale above all patches": lambda raw: with_number(raw, "projector.scale_factor", 60),
    "a flag of another type": with_flag_of_another_type,
}


@pytest.mark.claim("VISION-02")
@pytest.mark.parametrize("changed", ATTACKS.values(), ids=ATTACKS)
def test_what_ends_the_bare_engine_is_refused(
    model: Path, sound: bytes, tmp_path: Path, changed: Callable[[bytes], bytes]
) -> None:
    hostile = changed(sound)
    file = tmp_path / "hostile.gguf"
    file.write_bytes(hostile)
    ended, _ = shown(model, file)
    assert -ended in {signal.SIGABRT, signal.SIGFPE, signal.SIGSEGV}, "the attack"
    assert scan(hostile, companion="base", model=model.read_bytes()).verdict == "reject"


@pytest.mark.claim("VISION-02")
def test_the_sound_one_is_read_and_accepted(model: Path, sound: bytes, tmp_path: Path) -> None:
    file = tmp_path / "sound.gguf"
    file.write_bytes(sound)
    ended, counted = shown(model, file)
    assert ended == 0
    assert json.loads(counted)["prompt_tokens"] > 1
    assert scan(sound, companion="base", model=model.read_bytes()).verdict == "accept"
