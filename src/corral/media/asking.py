"""Have one file decoded in a media jail of its own; for commands.

Trust: operator side. Input: a hostile file, of which nothing is parsed here; bytes of the jail,
which `wire.Reading` counts. The gateway asks in its own way (`gateway.media`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from corral.admission.jailed_job import JailedJob, JobBrokeProtocol
from corral.control.client import LauncherClient
from corral.ipc.messages import StartMedia
from corral.media.wire import Broken, Outcome, Reading, Task, encode_task

ANSWER_S: Final = 45.0
"""Longest silence of a jail: its own processor time ends before."""


class Asked(NamedTuple):
    """What a jail said, and how it ended: `ok`, or a status of `sandbox.outcome`."""

    outcome: Outcome
    ended: str


def ask_media(launcher: LauncherClient, task: Task, data: bytes) -> Asked:
    """Decode one file.

    Args:
        launcher: of a job.
        task: what it is and how much of it is taken.
        data: the file.
    """
    reading = Reading(task)
    outcome: Outcome | None = None
    with JailedJob(launcher, StartMedia()) as job:
        try:
            for piece in job.pieces(encode_task(task) + data, silence_s=ANSWER_S):
                # Something that comes behind a whole answer makes it none.
                outcome = Broken() if outcome is not None else reading.feed(piece)
                if isinstance(outcome, Broken):
                    break
        except JobBrokeProtocol:
            return Asked(Broken(), "silent")
        if isinstance(outcome, Broken):
            return Asked(outcome, "protocol")
        return Asked(outcome or Broken(), job.wait_ended())
