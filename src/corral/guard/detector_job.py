"""The detector's job: load, test itself, then answer one text after the other until stdin ends.

Trust: guard jail (no network, no other file, no tenant's state). Input: texts on stdin, one folder
at /quarantine. It keeps nothing of a text: who asked is unknown to it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO, Final

FOLDER: Final = Path("/quarantine")


def main() -> int:
    """Serve on stdin and stdout; return the exit code."""
    # One thread, which is the one that the profile gives.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    return serve(FOLDER, sys.stdin.buffer, sys.stdout.buffer)


def serve(folder: Path, questions: BinaryIO, answers: BinaryIO) -> int:
    """Answer until `questions` ends; return 1 if the detector cannot be used."""
    import msgspec

    from corral.core.errors import CorralError
    from corral.guard.classifier import Classifier
    from corral.guard.detector_wire import QUESTION_BYTES, Answer, Failed, Question, Ready
    from corral.guard.views import views

    def say(message: msgspec.Struct) -> None:
        answers.write(msgspec.json.encode(message) + b"\n")
        answers.flush()

    try:
        classifier = Classifier(folder)
        fit = classifier.checked()
    except (CorralError, ValueError, IndexError):  # its logits may be of another shape
        say(Failed("detector_invalid"))
        return 1
    if not fit:
        say(Failed("detector_untrustworthy"))
        return 1
    manifest = classifier.manifest
    say(Ready(manifest.name, manifest.flag, manifest.block))
    while (line := questions.readline(QUESTION_BYTES)).strip():
        question = msgspec.json.decode(line, type=Question)
        readings = views(question.text)
        scores = classifier.score(view.text for view in readings)
        best = max(range(len(scores)), key=scores.__getitem__)
        say(Answer(question.id, min(1.0, max(0.0, scores[best])), readings[best].name))
    return 0
