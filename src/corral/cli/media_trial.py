"""`corral sanitise` of an image or a sound: decode it in a jail, and show what it was and is.

Trust: operator side. Input: a hostile file, of which nothing is parsed here.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from corral.cli.job_unsafe import job_launcher
from corral.cli.terminal import print_json, print_note, print_table
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.guard.media import judge_media
from corral.media.asking import ask_media
from corral.media.formats import Format
from corral.media.fresh import fresh_file
from corral.media.wire import (
    FILE_BYTES_MAX,
    SAMPLES_PER_S,
    Broken,
    Decoded,
    Image,
    Outcome,
    Refused,
    Sound,
    Task,
)

if TYPE_CHECKING:
    from corral.guard.policy import SanitationPolicy

_MIB: Final = 1 << 20


def try_media(
    format_: Format,
    data: bytes,
    policy: SanitationPolicy,
    home: Home,
    output: Path | None,
    *,
    as_json: bool,
) -> bool:
    """Show what becomes of a file; return whether a request with it is served.

    Args:
        format_: of its first bytes.
        data: the file.
        policy: by which it goes.
        home: whose launcher and jail are used.
        output: where the file that was made anew goes.
        as_json: for programs.

    Raises:
        CorralError: code `media_too_long`, `output_unwritable`, or of a launcher that cannot start.
    """
    if len(data) > FILE_BYTES_MAX:
        raise CorralError("media_too_long", f"the file is longer than {FILE_BYTES_MAX} bytes")
    options = policy.options
    task = Task(
        format_, len(data), options.image_pixels_max, options.image_side_max,
        options.audio_seconds_max,
    )  # fmt: skip
    with job_launcher(home, {}) as launcher:
        list(launcher.workers())  # it answers once it is up and has its images
        began_s = time.perf_counter()
        outcome, ended = ask_media(launcher, task, data)
        jail_ms = round(1000 * (time.perf_counter() - began_s))
    kinds, said, fresh = _read(outcome)
    seen, refused = judge_media(policy, "file", kinds)
    findings = [{"kind": one.finding.kind, "handling": str(one.handling)} for one in seen]
    document = {
        "policy": policy.name, "refused": refused.code if refused else None, "format": format_,
        "bytes": len(data), "fresh_bytes": len(fresh), "jail_ms": jail_ms, "jail_ended": ended,
        "findings": findings, **_sizes(said),
    }  # fmt: skip
    if as_json:
        print_json(document)
    else:
        rows = [(one["kind"], one["handling"]) for one in findings]
        print_table(("FINDING", "HANDLING"), rows, empty="nothing else is in it")
        print_note(_sentence(document, said))
    if refused is not None:
        if not as_json:
            print_note(f"refused: {refused.code}: {refused.message}")
        return False
    if output is not None:
        try:
            output.write_bytes(fresh)
        except OSError as error:
            raise CorralError("output_unwritable", "the new file cannot be written") from error
    return True


def _read(outcome: Outcome) -> tuple[list[str], Image | Sound | None, bytes]:
    """Return the kinds that were found, what it was, and the file that was made anew."""
    match outcome:
        case Decoded(said):
            return list(said.found), said, fresh_file(outcome)
        case Refused(kind):
            return [kind], None, b""
        case Broken():
            return ["media_crash"], None, b""


def _sizes(said: Image | Sound | None) -> dict[str, object]:
    if said is None:
        return {}
    if isinstance(said, Image):
        was = {"was_width": said.was_width, "was_height": said.was_height}
        return {**was, "width": said.width, "height": said.height, "peak_bytes": said.peak_bytes}
    return {
        "was_rate": said.was_rate, "was_channels": said.was_channels,
        "seconds": round(said.samples / SAMPLES_PER_S, 3), "peak_bytes": said.peak_bytes,
    }  # fmt: skip


def _sentence(document: dict[str, object], said: Image | Sound | None) -> str:
    was = f"{document['format']}, {document['bytes']} bytes"
    cost = f"{document['jail_ms']} ms in a jail that ended with {document['jail_ended']}"
    match said:
        case Image():
            was += f", {said.was_width} x {said.was_height} pixels"
            now = f"PNG, {document['fresh_bytes']} bytes, {said.width} x {said.height} pixels"
        case Sound():
            was += f", {said.was_channels} channels at {said.was_rate}"
            seconds = said.samples / SAMPLES_PER_S
            now = f"WAV, {document['fresh_bytes']} bytes, {seconds:.1f} s, one channel at 16000"
        case None:
            return f"{was}; {cost}"
    return f"{was} -> {now}; {cost}, {said.peak_bytes / _MIB:.0f} MiB"
