"""`corral scan PATH` by a private copy that is gone afterwards."""

import hashlib
import json
from pathlib import Path

import pytest

from corral.admission.scan.runner import scan_files
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from tests.support.additions import ADAPTER
from tests.support.bare_jobs import bare_jobs
from tests.support.gguf_file import GgufFile, part_names, parts_of


def test_scan_leaves_nothing(home: Home, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(GgufFile().encode())
    bad.write_bytes(b"no model")
    with bare_jobs(home) as launcher:
        report = scan_files([good], home=home, config=Config(), launcher=launcher).report
        assert report.verdict == "accept"
        report = scan_files([bad], home=home, config=Config(), launcher=launcher).report
        assert (report.verdict, report.findings[0].code) == ("reject", "magic")
        with pytest.raises(CorralError) as caught:
            scan_files([tmp_path], home=home, config=Config(), launcher=launcher)
    assert caught.value.code == "source_not_a_file"
    assert list(home.quarantine.iterdir()) == []


def test_a_set_and_an_adapter_with_its_base(home: Home, tmp_path: Path) -> None:
    names = part_names(3)
    for name, part in zip(names, parts_of(GgufFile(), 3), strict=True):
        (tmp_path / name).write_bytes(part.encode())
    adapter, base = tmp_path / "adapter", home.blobs / "base"
    adapter.write_bytes(ADAPTER.encode())
    base.write_bytes(GgufFile().encode())
    with bare_jobs(home) as launcher:
        report = scan_files(
            [tmp_path / name for name in names], home=home, config=Config(), launcher=launcher
        ).report
        assert (report.verdict, report.kind) == ("accept", "model")
        report = scan_files(
            [adapter], home=home, config=Config(), launcher=launcher, companion="base", model=base
        ).report
        assert (report.verdict, report.kind, report.findings) == ("accept", "adapter", ())
    assert list(home.quarantine.iterdir()) == []
    assert base.stat().st_nlink == 1


@pytest.mark.claim("ADV-01")
def test_what_an_advisory_names_is_found(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "good"
    file.write_bytes(GgufFile().encode())
    home.advisories.mkdir()
    record = {
        "id": "OPS-1",
        "modified": "2026-01-01T00:00:00Z",
        "summary": "stolen\n",
        "database_specific": {
            "corral": {"digests": [hashlib.sha256(file.read_bytes()).hexdigest()]}
        },
    }
    (home.advisories / "ops.json").write_text(json.dumps(record))
    with bare_jobs(home) as launcher:
        report = scan_files([file], home=home, config=Config(), launcher=launcher).report
        assert (report.verdict, report.findings[0].code) == ("reject", "advisory_known_bad")
        assert report.findings[0].message.isprintable()
        (home.advisories / "ops.json").unlink()
        report = scan_files([file], home=home, config=Config(), launcher=launcher).report
        assert report.verdict == "accept", "the control"
