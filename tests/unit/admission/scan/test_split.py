"""Models in several files, examined as the one model that they are together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from corral.admission.report import Report
from corral.admission.scan.siblings import with_siblings
from tests.support.gguf_file import (
    I32,
    STRING,
    U16,
    U32,
    GgufFile,
    of_shape,
    part_names,
    parts_of,
    scalar,
)  # fmt: skip
from tests.support.scanned import scan, verdict_of

SOUND = GgufFile()
Files = list[tuple[str, GgufFile]]


def whole(count: int = 3) -> Files:
    return list(zip(part_names(count), parts_of(SOUND, count), strict=True))


def scan_set(files: Files) -> Report:
    (name, first), *others = [(name, file.encode()) for name, file in files]
    return scan(first, name=name, parts=others)


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("turn", [0, 1])
def test_a_whole_set_is_accepted_as_one_model(count: int, turn: int) -> None:
    files = whole(count)
    report = scan_set(files[turn:] + files[:turn])
    assert report.verdict == "accept"
    assert report.facts == scan(SOUND.encode()).facts


def changed(number: int, file: Callable[[GgufFile], GgufFile]) -> Files:
    files = whole()
    files[number] = (files[number][0], file(files[number][1]))
    return files


def renamed(number: int, name: str) -> Files:
    files = whole()
    files[number] = (name, files[number][1])
    return files


BROKEN: dict[str, tuple[str, Files]] = {
    "a part alone": ("split", whole()[:1]),
    "a part is missing": ("split", whole()[:2]),
    "a part twice": ("split", [*whole()[:2], whole()[1]]),
    "a whole model among the parts": ("split", [*whole()[:2], ("x.gguf", SOUND)]),
    "a part of another set": ("split", [*whole()[:2], whole(4)[2]]),
    "another prefix": ("split", renamed(1, "n-00002-of-00003.gguf")),
    "another place in the name": ("split", renamed(1, "m-00003-of-00003.gguf")),
    "another count in the name": ("split", renamed(1, "m-00002-of-00009.gguf")),
    "a name with a folder": ("split", renamed(1, "../m-00002-of-00003.gguf")),
    "no name": ("split", renamed(1, "")),
    "a number of another type": (
        "split", changed(1, lambda f: f.with_value("split.no", scalar(U32, 1))),
    ),
    "a number behind the last": (
        "split", changed(1, lambda f: f.with_value("split.no", scalar(U16, 3))),
    ),
    "more tensors are said": (
        "split", changed(1, lambda f: f.with_value("split.tensors.count", scalar(I32, 99))),
    ),
    "metadata in a later part": (
        "split_metadata",
        changed(2, lambda f: f.with_value("tokenizer.chat_template", scalar(STRING, "x"))),
    ),
    "a tensor in two parts": (
        "tensor_duplicate",
        changed(2, lambda f: replace(f, tensors=(*f.tensors, of_shape("output_norm.weight", 32)))),
    ),
    "a tensor too many": (
        "split", changed(2, lambda f: replace(f, tensors=(*f.tensors, of_shape("x.weight", 32)))),
    ),
    "something behind a later part": (
        "trailing_bytes", changed(1, lambda f: replace(f, tail=b"PK" * 20)),
    ),
    "a later part is no GGUF": ("magic", changed(1, lambda f: replace(f, magic=b"FUGG"))),
}  # fmt: skip


@pytest.mark.claim("ADM-30")
@pytest.mark.parametrize(("code", "files"), BROKEN.values(), ids=BROKEN)
def test_a_broken_set_is_refused_by_its_code(code: str, files: Files) -> None:
    assert verdict_of(scan_set(files)) == ("reject", code)


def test_siblings_are_found_by_name(tmp_path: Path) -> None:
    names = part_names(3)
    for name in (*names, *part_names(3, "other"), *part_names(2)):
        (tmp_path / name).touch()
    assert [path.name for path in with_siblings(tmp_path / names[1])] == names
    (tmp_path / names[2]).unlink()
    (tmp_path / names[2]).symlink_to("nowhere")
    assert [path.name for path in with_siblings(tmp_path / names[1])] == names, (
        "it is refused later"
    )
    (tmp_path / names[0]).unlink()
    assert [path.name for path in with_siblings(tmp_path / names[1])] == names[1:]


@pytest.mark.parametrize("name", ["m.gguf", "m-00001-of-00000.gguf", "m-00001-of-01000.gguf"])
def test_a_file_that_is_no_part_is_alone(tmp_path: Path, name: str) -> None:
    assert with_siblings(tmp_path / name) == (tmp_path / name,)
