"""`corral scan PATH` by a private copy that is gone afterwards."""

from pathlib import Path

import pytest

from corral.admission.scan.runner import scan_file
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from tests.support.bare_jobs import bare_jobs
from tests.support.gguf_file import GgufFile


def test_scan_leaves_nothing(home: Home, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(GgufFile().encode())
    bad.write_bytes(b"no model")
    with bare_jobs(home) as launcher:
        report = scan_file(good, home=home, config=Config(), launcher=launcher)
        assert report.verdict == "accept"
        report = scan_file(bad, home=home, config=Config(), launcher=launcher)
        assert (report.verdict, report.findings[0].code) == ("reject", "magic")
        with pytest.raises(CorralError) as caught:
            scan_file(tmp_path, home=home, config=Config(), launcher=launcher)
    assert caught.value.code == "source_not_a_file"
    assert list(home.quarantine.iterdir()) == []
