"""Initialise a state folder; interrupt it everywhere."""

import os
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.state.database import open_database, writing
from corral.state.tables import models
from corral.tenancy.first_keys import FirstKeys
from corral.tenancy.grants import list_grants
from corral.tenancy.keyring import Keyring
from corral.tenancy.keys import list_keys
from corral.tenancy.setup import initialise, prepare_home
from corral.tenancy.tenants import list_tenants
from corral.tenancy.token import load_pepper

_INTERRUPTIBLE = ("open", "os.mkdir", "os.rename", "os.chmod", "sqlite3.connect", "os.remove")
"""Audit events before which a run is interrupted: each file made, renamed, opened."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@contextmanager
def _opened(home: Home) -> Iterator[Keyring]:
    keyring = Keyring(home.database, load_pepper(home.pepper))
    yield keyring
    keyring.close()


def _assert_complete(home: Home, first: FirstKeys) -> None:
    with _opened(home) as keyring:
        user = keyring.authenticate(first.api_key)
        admin = keyring.authenticate(first.admin_key)
    assert user is not None
    assert (user.tenant, user.role, user.may_use("anything")) == ("default", "user", True)
    assert admin is not None
    assert (admin.tenant, admin.role, admin.may_use("anything")) == ("admin", "operator", False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home.server_cert, home.server_key)
    ssl.create_default_context(cafile=str(home.ca_cert))
    for secret in (home.pepper, home.receipt_key, home.server_key, home.database):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600, secret.name
    for folder in (home.secrets, home.state, home.run, home.quarantine):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder.name
    leftovers = [path for path in home.root.rglob("*") if path.name.endswith(".new")]
    assert leftovers == []


def test_a_first_run_makes_everything_and_a_second_nothing(home: Home) -> None:
    first = initialise(home)
    assert first is not None
    _assert_complete(home, first)
    assert first.api_key not in repr(first)
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path.is_file()}
    assert initialise(home) is None
    for path, written in before.items():
        if not path.name.startswith("corral.db"):
            assert path.stat().st_mtime_ns == written, path.name
    assert len(list_keys(home.database)) == len(list_tenants(home.database)) == 2
    assert [(grant.tenant, grant.model) for grant in list_grants(home.database)] == [
        ("default", "*")
    ]


_INTERRUPT = """
import os, sys
from pathlib import Path
from corral.core.home import Home
from corral.tenancy import setup
import alembic.command, alembic.config, alembic.runtime.environment, mako.template

folder, events = sys.argv[1], set(sys.argv[2].split(","))

def run(step):
    # In a child: kill it at the step-th event that touches the state folder.
    home, seen = f"{folder}/home{step}", 0
    def hook(event, args):
        nonlocal seen
        if event in events and home in str(args[:2]):
            seen += 1
            if seen == step:
                os._exit(9)
    sys.addaudithook(hook)
    setup.initialise(Home(Path(home)))

step, status = 0, 9
while status == 9:
    step += 1
    child = os.fork()
    if not child:
        run(step)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(step, status, flush=True)
"""


@pytest.mark.claim("KILL-02")
def test_a_run_killed_anywhere_is_completed_by_the_next(tmp_path: Path) -> None:
    """One process forks a child for each step; the last child is not killed but completes."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPT, str(tmp_path), ",".join(_INTERRUPTIBLE)],
        check=True,
        capture_output=True,
        text=True,
    )
    outcomes = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    *killed, (_, last) = outcomes
    assert len(killed) > 20
    assert {status for _, status in killed} == {9}
    assert last == 0
    for step, _ in killed:
        home = Home(tmp_path / f"home{step}")
        first = initialise(home)
        assert first is not None, step
        _assert_complete(home, first)
        assert initialise(home) is None


def test_a_prepared_folder_keeps_its_first_keys_for_who_can_show_them(home: Home) -> None:
    prepare_home(home)
    assert list_keys(home.database) == ()
    first = initialise(home)
    assert first is not None
    _assert_complete(home, first)
    prepare_home(home)
    assert len(list_keys(home.database)) == 2


def test_keys_that_could_not_be_delivered_are_never_made(home: Home) -> None:
    def refuse(_first: FirstKeys) -> None:
        raise CorralError("first_keys_unwritable", "no")

    with pytest.raises(CorralError):
        initialise(home, refuse)
    assert list_keys(home.database) == ()
    delivered: list[FirstKeys] = []
    assert initialise(home, delivered.append) == delivered[0]
    _assert_complete(home, delivered[0])
    assert initialise(home, refuse) is None


def test_two_runs_at_once_make_one_set_of_keys(home: Home) -> None:
    code = (
        "import sys; from pathlib import Path; from corral.core.home import Home;"
        "from corral.tenancy.setup import initialise;"
        "print(initialise(Home(Path(sys.argv[1]))) is not None)"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(home.root)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert sorted(run.communicate(timeout=60)[0].strip() for run in runs) == [b"False", b"True"]
    assert [run.returncode for run in runs] == [0, 0]


def test_a_folder_of_something_else_is_left_alone(home: Home) -> None:
    home.root.mkdir(mode=0o755)
    (home.root / "thesis.txt").write_text("precious")
    with pytest.raises(CorralError) as refused:
        initialise(home)
    assert refused.value.code == "home_not_empty"
    assert [path.name for path in home.root.iterdir()] == ["thesis.txt"]
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o755


def test_a_configuration_alone_does_not_stop_the_first_run(home: Home) -> None:
    home.root.mkdir()
    home.config_file.write_text("")
    assert initialise(home) is not None


def test_wrong_modes_are_put_right(home: Home) -> None:
    initialise(home)
    home.secrets.chmod(0o777)
    initialise(home)
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["secrets", "state", "tls"])
def test_a_link_in_place_of_a_folder_is_refused(home: Home, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home.root.mkdir()
    (home.root / name).symlink_to(elsewhere)
    with pytest.raises(CorralError) as refused:
        initialise(home)
    assert refused.value.code == "home_unsafe"
    assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_s_folder_is_refused_but_the_gateway_s(home: Home) -> None:
    initialise(home)
    os.chown(home.state, 12345, 12345)
    assert initialise(home) is None
    os.chown(home.secrets, 12345, 12345)
    with pytest.raises(CorralError) as refused:
        initialise(home)
    assert refused.value.code == "home_unsafe"


def test_a_file_in_place_of_the_folder_is_refused(home: Home) -> None:
    home.root.write_text("")
    with pytest.raises(CorralError) as refused:
        initialise(home)
    assert refused.value.code == "home_unusable"


def _add_model(home: Home) -> None:
    with writing(open_database(home.database)) as connection:
        connection.execute(
            insert(models).values(
                name="m", digest="0" * 64, size_bytes=1, trust="verified", source="s",
                admitted_at=0, receipt="{}", signature=b"x",
            )
        )  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda home: home.pepper.unlink(), "pepper_missing"),
        (lambda home: home.pepper.write_bytes(b"short"), "bad_pepper"),
        (lambda home: (_add_model(home), home.receipt_key.unlink()), "receipt_key_missing"),
        (lambda home: home.receipt_key.write_bytes(b"x"), "receipt_key_unreadable"),
        (lambda home: (home.tls / "ca.key").write_bytes(b"x"), "ca_unreadable"),
        (lambda home: home.database.write_bytes(b"x" * 4096), "database_unavailable"),
    ],
)
def test_a_secret_that_is_depended_on_is_never_replaced(
    home: Home, damage: Callable[[Home], object], code: str
) -> None:
    initialise(home)
    damage(home)
    with pytest.raises(CorralError) as refused:
        initialise(home)
    assert refused.value.code == code


def test_only_the_public_half_missing_is_made_again(home: Home) -> None:
    initialise(home)
    before = home.receipt_public_key.read_bytes()
    home.receipt_public_key.unlink()
    initialise(home)
    assert home.receipt_public_key.read_bytes() == before


def test_what_a_new_folder_needs_is_done_once_and_again_after_an_interruption(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path / "home")
    calls: list[bool] = []

    def breaks(new: Home) -> None:
        calls.append(new.receipt_key.exists())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_home(home, on_new=breaks)
    prepare_home(home, on_new=lambda new: calls.append(new.database.exists()))
    prepare_home(home, on_new=breaks)
    assert initialise(home, on_new=breaks) is not None
    assert calls == [True, False]
