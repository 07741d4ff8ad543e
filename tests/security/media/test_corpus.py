"""Thousands of hostile files in real media jails: a typed refusal, or numbers that fit; no hang."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.cli.job_unsafe import job_launcher
from corral.control.client import LauncherClient
from corral.core.home import Home
from corral.media.fresh import fresh_file
from corral.media.wire import Broken, Decoded, Outcome, Refused
from tests.support.media_corpus import Corpus, bombs
from tests.support.media_files import image_file
from tests.support.media_jail import PATIENCE_S, MediaJail
from tests.support.server import copy_home, corral

FILES = int(os.environ.get("CORRAL_MEDIA_FILES", "5000"))
SEED = int(os.environ.get("CORRAL_MEDIA_SEED", "20261129"))


@pytest.fixture(scope="module")
def home(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(model_home, tmp_path_factory.mktemp("media") / "home")


@pytest.fixture(scope="module")
def launcher(home: Path) -> Iterator[LauncherClient]:
    with job_launcher(Home(home), {}) as client:
        yield client


def kind_of(outcome: Outcome) -> str:
    match outcome:
        case Decoded():
            assert fresh_file(outcome)
            return "decoded"
        case Refused(kind):
            return kind
        case Broken():
            return "media_crash"


@pytest.mark.claim("MEDIA-20")
@pytest.mark.timeout(3600)
def test_mutants_are_decoded_or_refused_and_cost_nobody_else(launcher: LauncherClient) -> None:
    counts: Counter[str] = Counter()
    began_s = time.monotonic()
    with MediaJail(launcher) as jail:
        for format_, data in Corpus(SEED).mutants(FILES):
            counts[f"{format_} {kind_of(jail.ask(format_, data))}"] += 1
        print(f"\n{FILES} files, {jail.starts} jails, {time.monotonic() - began_s:.0f} s")
        print(dict(sorted(counts.items())))
        assert isinstance(jail.ask("png", image_file("png")), Decoded)
    assert sum(counts.values()) == FILES
    kinds = {name.split()[1] for name in counts}
    assert {"decoded", "media_malformed", "media_type"} <= kinds
    crashes = sum(count for name, count in counts.items() if name.endswith("media_crash"))
    assert crashes * 200 <= FILES, "a decoder that ends so often is worth a look"


@pytest.mark.claim("MEDIA-11")
@pytest.mark.timeout(3600)
def test_bombs_end_within_their_limits(launcher: LauncherClient) -> None:
    found = {}
    with MediaJail(launcher, each=1) as jail:
        for name, format_, data in bombs():
            began_s = time.monotonic()
            found[name] = kind_of(jail.ask(format_, data))
            spent_s = time.monotonic() - began_s
            print(f"{name}: {len(data)} bytes, {found[name]}, {spent_s:.2f} s")
            assert spent_s < PATIENCE_S
        assert isinstance(jail.ask("png", image_file("png")), Decoded), "the next one is served"
    for name in ("png flat", "png line", "png big", "gif size", "webp size", "jpeg size",
                 "flac length", "flac silence"):  # fmt: skip
        assert found[name] == "media_too_large", name
    assert "media_crash" not in found.values()


@pytest.mark.claim("MEDIA-06")
def test_the_command_makes_a_file_anew(home: Path, tmp_path: Path) -> None:
    photo, clean = tmp_path / "photo.jpg", tmp_path / "clean.png"
    photo.write_bytes(image_file("jpeg", comment=b"Ada's garden"))
    done = corral(home, "sanitise", str(photo), "--output", str(clean), "--json")
    told = json.loads(done.stdout)
    assert told["findings"] == [{"kind": "media_metadata", "handling": "clean"}]
    assert (told["width"], told["jail_ended"], told["refused"]) == (60, "ok", None)
    assert len(clean.read_bytes()) == told["fresh_bytes"]
    assert clean.read_bytes().startswith(b"\x89PNG")
    assert b"garden" in photo.read_bytes()
    assert b"garden" not in clean.read_bytes()
    photo.write_bytes(photo.read_bytes()[:-20])
    broken = corral(home, "sanitise", str(photo), "--json", check=False)
    assert broken.returncode == 1
    assert json.loads(broken.stdout)["refused"] == "input_rejected.media_malformed"


BARE = """
import io, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
try:
    Image.open(io.BytesIO(sys.stdin.buffer.read())).convert("RGB").tobytes()
except MemoryError:
    print("ate it all")
"""


def test_without_a_limit_the_same_bomb_is_eaten() -> None:
    """The control of MEDIA-11: Pillow alone takes memory until there is none (bounded here)."""
    bomb = next(data for name, _, data in bombs() if name == "png big")
    ended = subprocess.run(
        [sys.executable, "-c", BARE], input=bomb, capture_output=True, timeout=120, check=False
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert b"ate it all" in ended.stdout or used > 300 << 10, ended.stderr[-300:]
