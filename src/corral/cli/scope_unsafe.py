"""Give a user without root control groups, before anything is started.

Trust: operator side. Input: the configuration, and how this process was started.
"""

from __future__ import annotations

import os
import sys

from corral.cli.terminal import print_note
from corral.core.config import Config
from corral.doctor.files import HostFiles
from corral.doctor.resources import cgroup
from corral.service.leaf import enter_leaf
from corral.service.scope import Surroundings, choose_scope


def settle_scope(config: Config, here: Surroundings | None = None) -> None:
    """Start again in a scope of the user's systemd if that is what limits need.

    Args:
        config: effective configuration.
        here: the surroundings, if they are not to be read.

    Raises:
        CorralError: code `feature_missing`: this user has no control groups and can get none here.
    """
    if os.geteuid() == 0 or "cgroup" in config.sandbox.allow_degraded:
        return
    enter_leaf()
    if cgroup(HostFiles()).state == "enforced":
        return
    again = choose_scope(here or Surroundings.look(), (sys.executable, *sys.orig_argv[1:]))
    print_note(
        "no control groups here: starting again in a scope of systemd (CORRAL_SCOPE=no: not)"
    )
    # SAFETY: nothing was started yet, and the process id stays the same.
    os.execve(again.argv[0], again.argv, dict(again.environ))
