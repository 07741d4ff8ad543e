"""A scan sees the files that belong to its file, in each runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from corral.admission.scan.runner import scan_files
from corral.core.config import Config
from corral.core.home import Home
from tests.support.gguf_file import GgufFile, part_names, parts_of
from tests.support.measured_launcher import StartedLauncher


@pytest.mark.claim("ADM-30")
@pytest.mark.parametrize("runtime", ["crun", "runc", "runsc"])
def test_a_set_is_examined_in_its_jail(
    runtime: str, needs_runtime: Callable[[str], None], launch: Callable[..., StartedLauncher],
    job_home: Home, tmp_path: Path,
) -> None:  # fmt: skip
    needs_runtime(runtime)
    paths = [tmp_path / name for name in part_names(2)]
    for path, part in zip(paths, parts_of(GgufFile(), 2), strict=True):
        path.write_bytes(part.encode())
    launcher = launch({"sandbox.runtime": runtime}).client
    report = scan_files(paths, home=job_home, config=Config(), launcher=launcher).report
    assert (report.verdict, report.kind) == ("accept", "model")
    assert not [path for path in job_home.quarantine.iterdir() if path.name.startswith("scan-")]
