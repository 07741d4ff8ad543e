"""reload against a process that answers SIGHUP in the server's log, as the gateway does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from corral.cli.reload import await_outcome
from corral.cli.serving import Serving, note_serving
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.authority import RENEW_DAYS, ensure_server_certificate
from corral.pki.issue import SERVER_DAYS
from tests.support.children import ended
from tests.support.command_line import Corral
from tests.support.launcher_stand_in import answering_launcher

# Blocked and waited for: a handler could run just before `pause`, which would then wait for ever.
SERVER = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
print(flush=True)
while signal.sigwait({signal.SIGHUP}):
    with open(sys.argv[1], "a") as log:
        log.write(sys.argv[2])
"""
TAKEN = '{"event":"tls_reloaded","module":"gateway.main"}\n'
KEPT = '{"code":"tls_cert_expired","event":"tls_reload_failed","module":"gateway.main"}\n'


@contextmanager
def server(
    home: Home, says: str, *, names: tuple[str, ...] = (), cert_file: Path | str = ""
) -> Iterator[int]:
    """Run what answers SIGHUP with the line `says`; yield its pid."""
    home.log_file.write_text(TAKEN)  # of an earlier reload
    command = [sys.executable, "-c", SERVER, str(home.log_file), says]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        key_file = str(Path(cert_file).with_suffix(".key")) if cert_file else ""
        note_serving(home, Serving(process.pid, names, str(cert_file), key_file))
        with answering_launcher(home, [], process.pid):
            yield process.pid
        process.kill()


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def operators(place: Path, *, days: int = 2) -> Path:
    """Write a certificate and its key; return the certificate's file."""
    made = trustme.CA().issue_cert(
        "localhost", not_before=datetime.now(UTC) - timedelta(days=9),
        not_after=datetime.now(UTC) + timedelta(days=days),
    )  # fmt: skip
    (place / "own.crt").write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
    (place / "own.key").write_bytes(made.private_key_pem.bytes())
    (place / "own.key").chmod(0o600)
    return place / "own.crt"


def test_it_succeeds_when_the_server_says_so(corral: Corral, home: Home) -> None:
    with server(home, TAKEN) as pid:
        done = corral("reload", "--home", str(home.root), "--json")
        assert (done.code, done.document) == (0, {"reloaded": True, "renewed": False, "pid": pid})
        assert "read its certificate again" in corral("reload", "--home", str(home.root)).err


@pytest.mark.claim("TLS-05")
def test_it_fails_when_the_server_kept_the_old_one(corral: Corral, home: Home) -> None:
    with server(home, KEPT):
        done = corral("reload", "--home", str(home.root), "--json")
    assert (done.code, done.error_code) == (1, "tls_reload_failed")
    assert "(tls_cert_expired)" in done.err


@pytest.mark.parametrize(
    "line",
    [
        "",
        "tls_reloaded\n",
        TAKEN.rstrip(),  # half a line
        TAKEN.replace("gateway.main", "launcher"),
        '["tls_reloaded"]\n',
    ],
)
def test_silence_and_other_words_are_no_success(home: Home, line: str) -> None:
    home.log_file.write_text(line)
    with home.log_file.open("rb") as log, pytest.raises(CorralError) as refused:
        await_outcome(log, 0.2)
    assert refused.value.code == "reload_unconfirmed"


def test_a_code_that_is_no_code_is_not_printed(home: Home) -> None:
    home.log_file.write_text(KEPT.replace("tls_cert_expired", "\\u001b[2J"))
    with home.log_file.open("rb") as log, pytest.raises(CorralError) as refused:
        await_outcome(log, 5)
    assert "(unknown)" in refused.value.message


@pytest.mark.claim("TLS-05")
@pytest.mark.parametrize(
    ("days", "mode", "code"), [(-1, 0o600, "tls_cert_expired"), (2, 0o644, "tls_key_exposed")]
)
def test_a_bad_operators_certificate_is_refused_before_the_server_hears_of_it(
    corral: Corral, home: Home, tmp_path: Path, days: int, mode: int, code: str
) -> None:
    cert_file = operators(tmp_path, days=days)
    cert_file.with_suffix(".key").chmod(mode)
    with server(home, TAKEN, cert_file=cert_file):
        done = corral("reload", "--home", str(home.root), "--json")
        assert (done.code, done.error_code) == (1, code)
        assert home.log_file.read_text() == TAKEN  # nobody was asked
        operators(tmp_path)
        assert corral("reload", "--home", str(home.root)).code == 0
        assert home.log_file.read_text() == TAKEN * 2


def test_the_own_certificate_is_renewed_in_time_and_keeps_its_names(
    corral: Corral, home: Home
) -> None:
    early = datetime.now(UTC) - timedelta(days=SERVER_DAYS - RENEW_DAYS + 1)
    ensure_server_certificate(home, ("models.example",), now=early)
    before = certificate(home.server_cert)
    with server(home, TAKEN, names=("models.example",)):
        assert corral("reload", "--home", str(home.root), "--json").document["renewed"] is True
        after = certificate(home.server_cert)
        assert after.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)
        assert after.serial_number != before.serial_number
        alternative = x509.SubjectAlternativeName
        assert (
            after.extensions.get_extension_for_class(alternative).value
            == before.extensions.get_extension_for_class(alternative).value
        )
        assert corral("reload", "--home", str(home.root), "--json").document["renewed"] is False
        assert certificate(home.server_cert) == after


def test_what_another_server_was_started_with_is_not_believed(corral: Corral, home: Home) -> None:
    with server(home, TAKEN) as pid:
        for note in (json.dumps({"pid": pid}), "", json.dumps({"pid": pid + 1, "names": [],
                     "cert_file": "", "key_file": ""})):  # fmt: skip
            (home.run / "serving.json").write_text(note)
            ended_ = corral("reload", "--home", str(home.root), "--json")
            assert (ended_.code, ended_.error_code) == (1, "not_ready")
        assert home.log_file.read_text() == TAKEN


def test_without_a_log_there_is_no_outcome_and_no_signal(corral: Corral, home: Home) -> None:
    with server(home, TAKEN):
        home.log_file.unlink()
        ended_ = corral("reload", "--home", str(home.root), "--json")
        assert (ended_.code, ended_.error_code) == (1, "no_log")
        assert not home.log_file.exists()
