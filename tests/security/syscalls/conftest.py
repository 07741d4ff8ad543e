"""The filters of every zone, taken once from live processes."""

from __future__ import annotations

import pytest

from tests.security.syscalls.live_zones import Filters, zone_filters
from tests.support.server import copy_home


@pytest.fixture(scope="session")
def live_filters_of(model_home, needs_runtime, tmp_path_factory) -> dict[str, Filters]:
    """Return runtime -> zone -> filters, newest first."""
    found = {}
    for runtime in ("crun", "runc"):
        needs_runtime(runtime)
        home = copy_home(model_home, tmp_path_factory.mktemp("verdicts") / "home")
        found[runtime] = zone_filters(home, runtime)
    return found
