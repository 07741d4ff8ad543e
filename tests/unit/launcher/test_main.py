"""What the launcher checks before it does anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.core.config import Config, Tls
from corral.core.errors import SandboxError
from corral.core.home import Home
from corral.launcher.main import _check_places
from corral.launcher.stage import STAGE


@pytest.mark.parametrize(
    ("home", "tls"),
    [
        (STAGE / "disk" / "corral", Tls()),
        (Path("/var/lib/../..") / STAGE.relative_to("/") / "home", Tls()),
        (Path("/srv/corral"), Tls(cert_file=f"{STAGE}/tls/a.crt", key_file="/srv/a.key")),
        (Path("/srv/corral"), Tls(cert_file="/srv/a.crt", key_file=f"{STAGE}/tls/a.key")),
    ],
)
def test_places_that_the_private_tree_would_hide_are_refused(home: Path, tls: Tls) -> None:
    with pytest.raises(SandboxError) as caught:
        _check_places(Home(home), Config(tls=tls))
    assert caught.value.code == "place_unusable"
    assert caught.value.remedy


def test_other_places_are_fine() -> None:
    _check_places(Home(Path("/srv/corral")), Config())
    _check_places(Home(Path("/mnt2/corral")), Config(tls=Tls("/etc/a.crt", "/etc/a.key")))
