"""Under CI=true a skipped test is a failed one: what nobody ran counts as nothing.

The one exception is named and reasoned: `@pytest.mark.hardware("what it needs")` for what no
machine of ours has. `tests/conftest.py` loads this for every test.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    excused = hasattr(report, "wasxfail") or item.get_closest_marker("hardware")
    if report.skipped and os.environ.get("CI") == "true" and not excused:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"CI must be able to run this: {reason}"
    return report
