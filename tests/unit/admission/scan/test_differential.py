"""Other readers see in a file what we see, or the file is refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.mutation import mutate
from tests.support.additions import ADAPTER, PROJECTOR, VECTOR
from tests.support.gguf_file import (
    F32,
    I32,
    STRING,
    U32,
    WIDTH,
    GgufFile,
    array,
    of_shape,
    parts_of,
    scalar,
)  # fmt: skip
from tests.support.library_reader import read_by_library, read_by_us
from tests.support.scanned import scan

SOUND = GgufFile()
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_WORDS = ["<unk>", "<s>", "</s>", *_BYTES, *(chr(code) for code in range(33, 127)), "\u2581"]
LOADABLE = replace(
    SOUND.with_values({
        "tokenizer.ggml.tokens": array(STRING, list(_WORDS)),
        "tokenizer.ggml.scores": array(F32, [0.0] * len(_WORDS)),
        "tokenizer.ggml.token_type": array(
            I32, [2, 3, 3, *[6] * 256, *[1] * (len(_WORDS) - 259)]
        ),
        "tokenizer.ggml.bos_token_id": scalar(U32, 1),
        "tokenizer.ggml.eos_token_id": scalar(U32, 2),
    }),
    tensors=(of_shape("token_embd.weight", WIDTH, len(_WORDS)), *SOUND.tensors[1:]),
)  # fmt: skip
"""A model with a vocabulary that the engine can count any text in."""
READ = {
    "model": SOUND, "loadable": LOADABLE, "version 2": replace(SOUND, version=2),
    "adapter": ADAPTER, "control vector": VECTOR, "projector": PROJECTOR,
    "first part": parts_of(SOUND, 2)[0], "second part": parts_of(SOUND, 2)[1],
    "long texts": SOUND.with_value("general.description", scalar(STRING, "w\u00f6rd " * 3000)),
    "many texts": SOUND.with_value("general.tags", array(STRING, [f"t{n}" for n in range(999)])),
    "empty list": SOUND.with_value("general.tags", array(STRING, [])),
}  # fmt: skip


@pytest.mark.parametrize("file", READ.values(), ids=READ)
def test_the_whole_library_reads_the_same(file: GgufFile) -> None:
    assert read_by_library(file.encode()) == read_by_us(file.encode())


@pytest.mark.claim("ADM-32")
@pytest.mark.parametrize("seed", range(6))
def test_of_broken_files_only_those_are_accepted_that_the_library_reads_as_we_do(seed: int) -> None:
    chance = random.Random(seed)
    accepted = refused = 0
    for _ in range(150):
        raw = mutate(chance.choice(list(READ.values())).encode(), chance)
        if scan(raw).verdict == "reject":
            refused += 1
            continue
        accepted += 1
        assert read_by_library(raw) == read_by_us(raw)
    assert refused
    assert accepted


_LOAD = """
import json, sys
from corral.engine.drivers.interface import EngineOptions
from corral.engine.drivers.xllamacpp import XllamacppEngine
for path in sys.argv[1:]:
    print(json.dumps({"begins": path}), flush=True)
    try:
        engine = XllamacppEngine()
        engine.load(EngineOptions(
            model_path=path, context_tokens=128, parallel=1, threads=1,
            template="{{ messages[0]['content'] }}",
        ))
        said = "loaded"
    except Exception as error:
        said = type(error).__name__ + ": " + str(error)[:80]
    print(json.dumps({"path": path, "said": said}), flush=True)
import os
os._exit(0)
"""


def loads(path: Path) -> tuple[int, str]:
    """Return how the engine's process ended and what it said of a file."""
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(path)], check=False, capture_output=True, timeout=60
    )
    said = [line for line in done.stdout.decode().splitlines() if line.startswith('{"path"')]
    return done.returncode, str(json.loads(said[-1])["said"]) if said else ""


def engine_files() -> dict[str, GgufFile]:
    """What is accepted, in every way in which an accepted model can differ."""
    changed = {
        "unchanged": {}, "alignment 4096": {"general.alignment": scalar(U32, 32)},
        "a rotation": {"llama.rope.dimension_count": scalar(U32, 8)},
        "a base of rotation": {"llama.rope.freq_base": scalar(F32, 1e6)},
        "linear scaling": {
            "llama.rope.scaling.type": scalar(STRING, "linear"),
            "llama.rope.scaling.factor": scalar(F32, 4.0),
        },
        "yarn": {
            "llama.rope.scaling.type": scalar(STRING, "yarn"),
            "llama.rope.scaling.factor": scalar(F32, 0.0),
        },
        "heads of layers": {"llama.attention.head_count_kv": array(U32, [2, 2])},
        "feed-forward of layers": {"llama.feed_forward_length": array(U32, [WIDTH, WIDTH])},
        "a large epsilon": {"llama.attention.layer_norm_rms_epsilon": scalar(F32, 1.0)},
        "epsilon 0": {"llama.attention.layer_norm_rms_epsilon": scalar(F32, 0.0)},
        "no template": {"tokenizer.chat_template": None},
        "a context of 64 Mi": {"llama.context_length": scalar(U32, 1 << 26)},
        "unknown words": {"maker.note": scalar(STRING, "hi")},
        "no scores": {"tokenizer.ggml.scores": None},
        "no experts": {"llama.expert_count": scalar(U32, 0)},
    }  # fmt: skip
    return {name: LOADABLE.with_values(change) for name, change in changed.items()}


@pytest.mark.claim("ADM-32")
@pytest.mark.timeout(170)
def test_what_is_accepted_the_engine_loads(tmp_path: Path) -> None:
    ended: dict[str, object] = {}
    for name, file in engine_files().items():
        path = tmp_path / "m.gguf"
        path.write_bytes(file.encode())
        verdict = scan(path.read_bytes()).verdict
        code, said = loads(path)
        if verdict != "accept" or (code, said) != (0, "loaded"):
            ended[name] = (verdict, code, said)
    assert ended == {}


@pytest.mark.claim("ADM-32")
@pytest.mark.timeout(170)
def test_what_is_accepted_of_broken_files_the_engine_loads(tmp_path: Path) -> None:
    chance, ended, seen = random.Random(7), {}, 0
    for number in range(1000):
        raw = mutate(LOADABLE.encode(), chance)
        if seen == 12:
            break
        if scan(raw).verdict != "accept":
            continue
        seen += 1
        path = tmp_path / "m.gguf"
        path.write_bytes(raw)
        if loads(path) != (0, "loaded"):
            ended[number] = loads(path)
    assert (seen, ended) == (12, {})


ABORTS = {
    "513 layers": ("llama.block_count", scalar(U32, 513)),
    "a token twice": (
        "tokenizer.ggml.tokens", array(STRING, ["<unk>", *["<s>"] * (len(_WORDS) - 1)]),
    ),
    "a negative epsilon": ("llama.attention.layer_norm_rms_epsilon", scalar(F32, -1.0)),
}  # fmt: skip


@pytest.mark.claim("ADM-32")
@pytest.mark.parametrize(("key", "value"), ABORTS.values(), ids=ABORTS)
def test_what_ends_the_engine_is_refused(tmp_path: Path, key: str, value: bytes) -> None:
    """The control: without the scan such a file ends the whole process by a signal."""
    path = tmp_path / "m.gguf"
    path.write_bytes(LOADABLE.with_value(key, value).encode())
    code, _ = loads(path)
    assert code < 0
    assert scan(path.read_bytes()).verdict == "reject"
