"""An initialised state folder, a model file that passes the scanner, and pulls without jails."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corral.admission.catalog import CatalogEntry
from corral.admission.expectation import Expectation
from corral.admission.policy.shipped import default_policy_text
from corral.admission.policy.standing import install_standing
from corral.admission.pull import pull_model
from corral.admission.trial import TrialResult, installed_engine
from corral.admission.trusted_model import Estimated
from corral.control.client import LauncherClient
from corral.core.config import Config, Fetch
from corral.core.home import Home
from corral.pki.receipt_key import ensure_receipt_key
from corral.state.database import open_database
from tests.support.bare_jobs import bare_jobs
from tests.support.download_server import DownloadServer, download_server
from tests.support.gguf_file import GgufFile

Pull = Callable[..., CatalogEntry]


class Trial:
    """A trial load whose outcome the test sets, and which looks at what is there."""

    def __init__(self, home: Home, *, ok: bool = True) -> None:
        self.home, self.ok, self.loads = home, ok, 0
        self.engine = installed_engine()
        self.template = ""

    def load(self, model: Estimated) -> TrialResult:
        self.loads += 1
        self.template = model.scanned.template.text
        assert (self.home.quarantine / "blobs" / model.digest).stat().st_mode & 0o777 == 0o444
        return TrialResult(
            ok=self.ok, code="" if self.ok else "model_load_failed", engine=self.engine
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    for folder in (home.state, home.secrets, home.quarantine, home.blobs):
        folder.mkdir(parents=True)
    ensure_receipt_key(home)
    install_standing(home, default_policy_text())
    open_database(home.database)
    return home


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(GgufFile().encode())
    return path


@pytest.fixture
def launcher(home: Home) -> Iterator[LauncherClient]:
    with bare_jobs(home) as client:
        yield client


@pytest.fixture
def trial(home: Home) -> Trial:
    return Trial(home)


@pytest.fixture
def pull(home: Home, launcher: LauncherClient, trial: Trial) -> Pull:
    def run(source: object, **changes: object) -> CatalogEntry:
        options: dict[str, object] = {"config": Config(), "expect": Expectation()}
        return pull_model(
            str(source),
            home=home,
            trial=trial,
            **{"launcher": launcher} | options | changes,  # type: ignore[arg-type]
        )

    return run


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DownloadServer]:
    with download_server() as running:
        bundle = tmp_path / "ca.pem"
        bundle.write_text("# a remark\n" + running.ca_pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        yield running


def reaching(server: DownloadServer, max_bytes: int = 1 << 40) -> Config:
    return Config(fetch=Fetch(hosts=(), private_hosts=(server.host,), max_bytes=max_bytes))
