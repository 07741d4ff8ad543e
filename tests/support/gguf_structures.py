"""Generated files with hostile headers, key-value pairs, tensor descriptions and data."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from tests.support.gguf_cases import F64, SOUND, U64, Case
from tests.support.gguf_file import (
    ARRAY,
    BOOL,
    F32,
    I32,
    STRING,
    U8,
    U32,
    WIDTH,
    GgufTensor,
    array,
    of_shape,
    scalar,
    text,
)  # fmt: skip

U64_MAX = (1 << 64) - 1


def header() -> Iterator[Case]:
    sound = SOUND.encode()

    def with_header(name: str, about: str, code: str, at: int, raw: bytes) -> Case:
        return Case(f"A {name}", about, code, sound[:at] + raw + sound[at + len(raw) :], sound)

    for magic in (b"FUGG", b"gguf", b"GGU\0", b"GGML"):
        yield with_header(f"magic {magic!r}", "test-gguf BAD_MAGIC", "magic", 0, magic)
    for version in (0, 1, 4, 0x7FFF_FFFF, 0x0002_0003):
        about = "CVE-2025-66959, CVE-2025-66960 (version 1), BAD_VERSION"
        raw = struct.pack("<I", version)
        yield with_header(f"version {version:#x}", about, "version", 4, raw)
    for version in (2 << 24, 3 << 24):
        raw = struct.pack("<I", version)
        yield with_header(f"version {version:#x}", "byte order", "endianness", 4, raw)
    for count in (8193, 1 << 31, 1 << 32, 1 << 61, 1 << 63, U64_MAX, U64_MAX // 24 + 1):
        raw = struct.pack("<Q", count)
        about = "CVE-2024-21825 (n_tensors)"
        yield with_header(f"tensors {count:#x}", about, "n_tensors", 8, raw)
        about = "CVE-2024-23605 (n_kv), CVE-2026-65315; hang of gguf 0.19"
        yield with_header(f"values {count:#x}", about, "n_kv", 16, raw)
    for cut in (0, 1, 3, 4, 7, 8, 15, 20, 23, 24, 31, 40, 100, 300):
        yield Case(f"A cut at {cut}", "CVE-2024-41130", "truncated", sound[:cut], sound)


def _value(name: str, about: str, code: str, key: str | bytes, raw: bytes, good: bytes) -> Case:
    hostile = SOUND.with_value(key, raw).encode()
    return Case(f"B {name}", about, code, hostile, SOUND.with_value("x.y", good).encode())


def metadata() -> Iterator[Case]:
    number = scalar(U32, 1)
    for length in (1 << 31, 1 << 32, 1 << 63, U64_MAX, U64_MAX - 7, 257, 65_536):
        raw = SOUND.encode()
        hostile = raw[:24] + struct.pack("<Q", length) + raw[32:]
        yield Case(f"B key of {length:#x}", "CVE-2024-21836", "key_length", hostile, raw)
    for key in (
        b"tokenizer.chat_template\0b", b"llama.block_count\0", b"\0", b"a b", b"a\nb", b"a\x1b[2J",
        "gen\u0435ral.name".encode(), b"\xff\xfe", b".a", b"-a", b"a=b", b"a\x7f", b"a\xc2\xad",
    ):  # fmt: skip
        yield _value(
            f"key {key!r}", "shadowed keys (own finding)", "key_charset", key, number, number
        )
    yield _value("key empty", "SIGABRT before b9982", "key_empty", b"", number, number)
    for kind in (13, 14, 255, 1 << 31, 0xFFFF_FFFF):
        raw = struct.pack("<II", kind, 0)
        yield _value(f"type {kind:#x}", "CVE-2024-32878, BAD_TYPE", "kv_type", "x.y", raw, number)
        raw = struct.pack("<IIQ", ARRAY, kind, 0)
        yield _value(f"list of {kind:#x}", "BAD_TYPE", "kv_type", "x.y", raw, number)
    for count in (1 << 21, 1 << 30, 1 << 61, 1 << 62, 1 << 63, U64_MAX):
        for kind in (U8, U32, STRING, U64):
            raw = struct.pack("<IIQ", ARRAY, kind, count)
            about = "CVE-2024-23496, CVE-2025-53630; hang of gguf 0.19"
            yield _value(f"{count:#x} of {kind}", about, "array_length", "x.y", raw, number)
    raw = struct.pack("<IIQ", ARRAY, U64, 1 << 20)
    yield _value("a million of few", "CVE-2024-39720", "truncated", "x.y", raw, number)
    deep = b"".join(struct.pack("<IQ", ARRAY, 1) for _ in range(200))
    yield _value("lists in lists", "huggingface.js#2028", "array_nested", "x.y",
              struct.pack("<I", ARRAY) + deep, number)  # fmt: skip


def values() -> Iterator[Case]:
    number = scalar(U32, 1)
    word = scalar(STRING, "fine")
    for length in ((1 << 20) + 1, 1 << 30, 1 << 63, U64_MAX, U64_MAX - 15):
        raw = struct.pack("<IQ", STRING, length)
        yield _value(f"text of {length:#x}", "CVE-2024-21802", "string_length", "x.y", raw, word)
        raw = struct.pack("<IIQQ", ARRAY, STRING, 1, length)
        yield _value(f"texts of {length:#x}", "CVE-2024-21802", "string_length", "x.y", raw, word)
    for raw in (b"a\0b", b"\0", b"\0\0"):
        about = "readers differ behind NUL"
        yield _value(f"text {raw!r}", about, "string_nul", "x.y", scalar(STRING, raw), word)
        yield _value(f"texts {raw!r}", about, "string_nul", "x.y", array(STRING, [raw]), word)
    for raw in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"a\x80"):
        yield _value(f"text {raw!r}", "UTF-8", "string_utf8", "x.y", scalar(STRING, raw), word)
        yield _value(
            f"texts {raw!r}", "UTF-8", "string_utf8", "x.y", array(STRING, [raw, "a"]), word
        )
    split = array(STRING, [b"\xc3", b"\xa9"])
    yield _value("a character in two texts", "UTF-8", "string_utf8", "x.y", split, word)
    for byte in (2, 127, 128, 255):
        true = scalar(BOOL, 1)
        about = "readers differ on what is true"
        yield _value(f"bool {byte}", about, "bool_value", "x.y", scalar(BOOL, byte), true)
        yield _value(f"bools {byte}", about, "bool_value", "x.y", array(BOOL, [1, byte]), true)
    for value in (float("nan"), float("inf"), float("-inf")):
        half = scalar(F32, 0.5)
        yield _value(f"float {value}", "", "float_nonfinite", "x.y", scalar(F32, value), half)
        yield _value(f"floats {value}", "", "float_nonfinite", "x.y", array(F32, [0, value]), half)
        raw = struct.pack("<Id", F64, value)
        yield _value(f"double {value}", "", "float_nonfinite", "x.y", raw, half)
    for raw in (
        *(scalar(U32, a) for a in (0, 1, 2, 8, 13, 16, 31, 33, 96, 8192, 1 << 20, 1 << 31)),
        scalar(I32, 32), struct.pack("<IQ", U64, 32), scalar(STRING, "32"), array(U32, [32]),
    ):  # fmt: skip
        name = f"alignment {raw.hex()}"
        about = "BAD_ALIGN, SIGABRT before b10603, mmap below 32"
        yield _value(name, about, "alignment", "general.alignment", raw, number)
    elf = struct.pack("<IIQ", ARRAY, U8, 4) + b"\x7fELF"
    for key in ("general.blob", "tokenizer.ggml.extra", "llama.extra", "payload"):
        case = _value(f"a program in {key}", "", "embedded_payload", key, elf, number)
        yield replace(case, verdict="flag")
    for hidden in ("\x1b[2J", "a\u202eb", "a\u200bb", "\U000e0041", "a\x85"):
        raw = scalar(STRING, hidden)
        case = _value(f"hidden {hidden!r}", "terminal", "string_hidden", "general.name", raw, word)
        yield replace(case, verdict="flag")
    raw = SOUND.encode()
    twice = text("general.architecture") + scalar(STRING, "llama")
    count = struct.pack("<Q", len(SOUND.values) + 1)
    hostile = raw[:16] + count + twice + raw[24:]
    yield Case("B a key twice", "DUPLICATE_KEY", "key_duplicate", hostile, raw)


def tensors() -> Iterator[Case]:
    def one(name: str, about: str, code: str, /, **changes: object) -> Case:
        extra = of_shape("rope_freqs.weight", 32)
        file = replace(SOUND, tensors=(*SOUND.tensors, extra))
        bad = replace(extra, **changes)  # type: ignore[arg-type]
        hostile = replace(SOUND, tensors=(*SOUND.tensors, bad)).encode()
        return Case(f"C {name}", about, code, hostile, file.encode())

    for length in (64, 65, 255, 4096):
        about = "readers cut a name at 63"
        yield one(f"name of {length}", about, "tensor_name_length", name="n" * length)
    yield one("name empty", "", "tensor_name_length", name=b"")
    for raw in (b"output.weight\0x", b"\0", b"a b", b"a/b", b"\x1b[31m", b"\xff", "ʷ".encode()):
        yield one(f"name {raw!r}", "names cut at NUL", "tensor_name_charset", name=raw)
    for dims in ((), (1,) * 5, (1,) * 8, (1,) * 9, (2,) * 64):
        about = "antirez/gguf-tools#25, BAD_N_DIMS"
        yield one(f"{len(dims)} dimensions", about, "n_dims", shape=dims)
    for shape in ((0,), (32, 0), (0, 0, 0, 0), (1 << 63,), (U64_MAX,), (32, U64_MAX)):
        yield one(f"shape {shape}", "SIGFPE before #25596, BAD_SHAPE", "ne", shape=shape)
    for shape in (
        (1 << 32, 1 << 32), (1 << 16,) * 4, ((1 << 33) - 4, (1 << 33) - 4), (1 << 62, 2),
        (32, 1 << 60), (1 << 31, 1 << 31, 4),
    ):  # fmt: skip
        about = "CVE-2026-33298, wrap to zero, NE_TOO_BIG"
        yield one(f"shape {shape}", about, "ne_overflow", shape=shape)
    for shape, kind in (((1 << 62,), 0), ((1 << 61, 2), 0), ((1 << 62,), 1), ((1 << 61,), 0)):
        about = "CVE-2025-53630, NBYTES_TOO_BIG"
        yield one(f"{kind} {shape}", about, "nbytes_overflow", shape=shape, kind=kind)
    wraps = (4, (1 << 30) - 1, (1 << 30) + 1)
    yield one("padding wraps", "NBYTES_PAD_WRAP", "nbytes_overflow", shape=wraps)
    quantised = (1 << 60,)
    yield one("a wrapped block", "procodec PoC: 576 PB as 4 bytes", "data_extent",
              shape=quantised, kind=2)  # fmt: skip
    for kind in (4, 5, 31, 32, 33, 36, 37, 38, 43, 99, 255, 1 << 31, 0xFFFF_FFFF):
        yield one(f"type {kind:#x}", "BAD_TYPE", "tensor_type", kind=kind)
    yield one("type 42", "known to the engine, not to gguf 0.19", "tensor_type", kind=42)
    for side in (1, 31, 33):
        yield one(f"blocks of {side}", "", "block_size", kind=2, shape=(side,))
    for offset in (1, 32, 64, 1 << 32, 1 << 63, U64_MAX, U64_MAX - 31):
        yield one(f"offset {offset:#x}", "BAD_OFFSET, gaps, overlaps", "offset", offset=offset)
    extra = of_shape("output_norm.weight", WIDTH)
    hostile = replace(SOUND, tensors=(*SOUND.tensors, extra)).encode()
    yield Case("C a name twice", "DUPLICATE_NAME", "tensor_duplicate", hostile, SOUND.encode())


def data() -> Iterator[Case]:
    sound = SOUND.encode()
    for cut in (1, 2, 64, 1000, sum(t.size_bytes for t in SOUND.tensors)):
        about = "CVE-2026-7482 (beyond the end), DATA_NOT_ENOUGH_DATA"
        yield Case(f"D {cut} bytes short", about, "data_extent", sound[:-cut], sound)
    for more in (1, 31, 32, 33, 4096):
        about = "polyglots, hidden data"
        yield Case(f"D {more} bytes more", about, "trailing_bytes", sound + bytes(more), sound)
    huge = tuple(GgufTensor(f"t{n}", ((1 << 61) - 64,), 0, size_bytes=0) for n in range(2))
    hostile = replace(SOUND, tensors=huge)
    second = replace(hostile.tensors[1], offset=((1 << 61) - 64) * 4)
    hostile = replace(hostile, tensors=(hostile.tensors[0], second))
    about = "CVE-2026-27940, CVE-2025-53630 (sums that wrap)"
    yield Case("D sizes together wrap", about, "nbytes_overflow", hostile.encode(), sound)
    last = SOUND.tensors[-1]
    for kind, value in (("NaN", 0x7FC0_0000), ("infinity", 0x7F80_0000), ("-NaN", 0xFFFF_FFFF)):
        raw = struct.pack("<I", value) + bytes(last.size_bytes - 4)
        hostile = replace(SOUND, tensors=(*SOUND.tensors[:-1], replace(last, data=raw)))
        yield Case(f"D {kind}", "", "weights_nonfinite", hostile.encode(), sound)
