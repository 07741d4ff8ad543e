"""The worst files that pass the bounds: a scan of any has 256 MiB, and none needs them."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from corral.admission.report import parse_report
from corral.core.limits import GGUF_METADATA_BYTES, MIB
from corral.sandbox.policy import load_policy
from tests.support.gguf_file import ARRAY, STRING, WIDTH, GgufFile, array, of_shape, scalar

SOUND = GgufFile()
_PROGRAM = """
import sys
sys.argv[1:] = ["--candidate", sys.argv[1]]
from corral.admission.scan.job import main
main()
print(*(li for li in open("/proc/self/status") if li.startswith("VmHWM")), file=sys.stderr)
"""


def texts(count: int, form: str) -> bytes:
    raw = b"".join(struct.pack("<Q", len(form % n)) + (form % n).encode() for n in range(count))
    return struct.pack("<IIQ", ARRAY, STRING, count) + raw


def many_short_texts() -> GgufFile:
    two = struct.pack("<IIQ", ARRAY, STRING, 1 << 20) + (struct.pack("<Q", 2) + b"ab") * (1 << 20)
    return SOUND.with_values({f"x.{n}": two for n in range(3)})


def long_texts() -> GgufFile:
    text = scalar(STRING, "a" * (MIB - 8) + "\U0001f600")
    return SOUND.with_values({f"x.{n}": text for n in range(31)})


def a_large_vocabulary() -> GgufFile:
    count = 1 << 19
    file = SOUND.with_values({
        "tokenizer.ggml.tokens": texts(count, "%x\u00e9"),
        "tokenizer.ggml.token_type": struct.pack("<IIQ", ARRAY, 5, count) + b"\1\0\0\0" * count,
        "tokenizer.ggml.scores": struct.pack("<IIQ", ARRAY, 6, count) + bytes(4 * count),
        "tokenizer.ggml.merges": texts(count, "a %x"),
    })  # fmt: skip
    return replace(file, tensors=(of_shape("token_embd.weight", WIDTH, count), *file.tensors[1:]))


def long_texts_in_lists() -> GgufFile:
    text = "a" * (MIB - 8) + "\U0001f600"
    return SOUND.with_value("x.y", array(STRING, [text] * 31))


def many_tensors() -> GgufFile:
    extra = tuple(of_shape(f"t{n:060}", 1) for n in range(8192 - len(SOUND.tensors)))
    return replace(SOUND, tensors=(*SOUND.tensors, *extra))


def many_keys() -> GgufFile:
    keys = {f"k{n:0250}": scalar(STRING, "v" * 15_000) for n in range(2048 - len(SOUND.values))}
    return SOUND.with_values(keys)


def numbers() -> GgufFile:
    values = struct.pack("<IIQ", ARRAY, 12, 1 << 20) + bytes(8 << 20)
    return SOUND.with_values({f"x.{n}": values for n in range(3)})


WORST: list[Callable[[], GgufFile]] = [
    many_short_texts, long_texts, long_texts_in_lists, a_large_vocabulary, many_tensors, many_keys,
    numbers,
]  # fmt: skip


@pytest.mark.claim("ADM-33")
@pytest.mark.parametrize("make", WORST, ids=[make.__name__ for make in WORST])
def test_the_worst_files_need_less_than_there_is(
    tmp_path: Path, make: Callable[[], GgufFile]
) -> None:
    limit = load_policy("scan").memory_bytes
    assert limit == 256 * MIB
    path = tmp_path / "m.gguf"
    path.write_bytes(make().encode())
    assert path.stat().st_size > GGUF_METADATA_BYTES // 64
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", _PROGRAM, str(path)], check=True, capture_output=True,
        stdin=subprocess.DEVNULL, timeout=90,
        env={},  # not measured for coverage, which would need memory of its own
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )  # fmt: skip
    report = parse_report(done.stdout)
    assert report is not None
    assert not {"resource_limit", "scanner_error"} & {f.code for f in report.findings}
    peak_bytes = int(done.stderr.split()[1]) << 10
    assert peak_bytes < limit * 3 // 4
