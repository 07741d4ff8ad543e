"""`corral up`: set up what is missing, then serve.

Trust: operator side; becomes the launcher. Input: the operator's command line and configuration.
API keys are printed once, by the run that made them, or left in the file that `--first-keys` names;
they are in no argument, log or environment.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.engine_check import check_engine
from corral.cli.first_detector import bring_detector
from corral.cli.first_policy import install_first_policy
from corral.cli.open_master_key import open_master_key, plain_master_key
from corral.cli.options import (
    DegradedOption,
    HomeOption,
    RuntimeOption,
    TierOption,
    effective_config,
    sandbox_settings,
)
from corral.cli.policed import policed_settings
from corral.cli.scope_unsafe import settle_scope
from corral.cli.serving import Serving, note_serving
from corral.cli.terminal import notes, print_error, print_json, print_note
from corral.cli.up_unsafe import become_launcher, work_beside
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.doctor.memory_limit import memory_limit_bytes
from corral.service.activation import take_listener
from corral.service.leaf import enter_leaf

if TYPE_CHECKING:
    from corral.tenancy.first_keys import FirstKeys


def up(
    host: Annotated[
        str | None,
        typer.Option("--host", help="IP address to listen on.", show_default="127.0.0.1"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help="TCP port; 0 takes a free one.", show_default="8443"),
    ] = None,
    tier: TierOption = None,
    runtime: RuntimeOption = None,
    allow_degraded: DegradedOption = None,
    first_keys: Annotated[
        Path | None,
        typer.Option(
            "--first-keys",
            metavar="FILE",
            help="Leave the first API keys in this file, for services, whose output is a log.",
            show_default=False,
        ),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--passphrase-file",
            metavar="FILE",
            help="File with the master key's passphrase, if it is locked by one; - is stdin.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--print-json", "--json", help="When ready, print one JSON line in place of the banner."
        ),
    ] = False,
) -> None:
    """Set up this state folder if it is new, then serve over TLS until SIGTERM or Ctrl-C.

    The first run prints two API keys, once: one of tenant `default`, one of the operator.
    Under systemd's socket activation the socket is taken from there (see: corral service).
    A locked master key (corral master-key) is opened by a passphrase: of --passphrase-file, of the
    service's credential corral-passphrase, or of the terminal.

    Example: corral up --port 8443
    """
    place = Home.locate(home)
    settings: dict[str, object] = sandbox_settings(tier, runtime, allow_degraded)
    settings |= {
        name: value
        for name, value in (("listen.host", host), ("listen.port", port))
        if value is not None
    }
    listener = take_listener()
    if listener:
        settings["listen.host"], settings["listen.port"] = listener.getsockname()[:2]
    settings = policed_settings(place, settings)
    config = effective_config(place, settings)
    if not config.engine.memory_total_bytes:
        # Asked here: the gateway's jail shows neither the machine's memory nor the groups above.
        settings["engine.memory_total_bytes"] = memory_limit_bytes()
    if not listener:
        settle_scope(config)  # may be the end of this process: nothing is asked before it
    master_key = open_master_key(place, passphrase_file)
    enter_leaf()
    with work_beside(partial(looked_at, place, config)) as survey:
        first = prepare(place, config, first_keys)
        with shown_if_it_fails(first):
            # Nothing from beside: do it here, so that whatever went wrong is seen.
            document = survey() or looked_at(place, config)
            if bring_detector(place, config, settings):
                document = looked_at(place, config)
            report_host(place, document)
    with shown_if_it_fails(first):
        from corral.control.command import serve_command

        listening = listener.detach() if listener else -1
        key = plain_master_key(place) if master_key < 0 else master_key
        become_launcher(
            lambda ready: serve_command(place, settings, ready, listening, key),
            inherit=(key, listening) if listener else (key,),
            announce=partial(_announce, place, config, first, as_json, os.getpid()),
            complain=partial(_complain, first, as_json),
            beside=_beside(place, config),
        )


def _beside(home: Home, config: Config) -> Callable[[int], None] | None:
    """Return what goes on beside the server, if anything does."""
    from corral.cli.beside import run_beside, tasks_beside

    tasks = tasks_beside(home, config)
    return partial(run_beside, tasks) if tasks else None


def prepare(home: Home, config: Config, first_keys: Path | None = None) -> FirstKeys | None:
    """Make the state folder ready to serve, whatever an earlier run left unfinished.

    Args:
        home: the state folder.
        config: effective configuration.
        first_keys: file that is to get the first API keys instead of whoever reads our output.

    Returns:
        The first API keys if this call made them and they were not written to a file, else None.

    Raises:
        CorralError: the folder, the certificate or the address is not fit to serve, or the first
            keys cannot be delivered (`first_keys_unwritable`; then there are none).
    """
    from corral.admission.quarantine import sweep_quarantine
    from corral.pki.authority import (
        ensure_server_certificate,
        load_or_check_operator_certificate,
    )
    from corral.tenancy.oidc_provider import parse_providers
    from corral.tenancy.setup import initialise

    parse_providers(config.identity.oidc)
    if config.tls.cert_file:
        load_or_check_operator_certificate(config.tls.cert_file, config.tls.key_file)
    deliver = partial(_write_first_keys, first_keys) if first_keys else None
    made = initialise(home, deliver, on_new=install_first_policy)
    first = None if first_keys else made
    with shown_if_it_fails(first):
        check_exposure(home, config)
        if not config.tls.cert_file:
            ensure_server_certificate(home, certificate_names(config))
        sweep_quarantine(home)
    return first


@contextmanager
def shown_if_it_fails(first: FirstKeys | None) -> Iterator[None]:
    """Print the first keys if the block fails: they exist, and no later run prints them."""
    try:
        yield
    except BaseException:
        _show_keys(first)
        raise


def _write_first_keys(path: Path, first: FirstKeys) -> None:
    """Leave the first keys in a file; runs before they are valid (`tenancy.setup.initialise`)."""
    from corral.pki.atomic import write_atomically

    document = {"api_key": first.api_key, "admin_key": first.admin_key}
    try:
        write_atomically(path, json.dumps(document).encode() + b"\n", mode=0o600)
    except (CorralError, ValueError) as error:  # ValueError: the path has no file name
        raise CorralError(
            "first_keys_unwritable",
            "the file of --first-keys cannot be written, so no keys were made",
            remedy="name a file in a folder that exists and that this user may write",
        ) from error


def looked_at(home: Home, config: Config) -> bytes:
    """Return what this host can enforce, as JSON, if its engine may be started.

    Raises:
        CorralError: codes of `check_engine`.
    """
    check_engine(home, config)
    return surveyed(config, home)


def surveyed(config: Config, home: Home) -> bytes:
    """Return what this host can enforce, as JSON."""
    from corral.doctor.survey import survey_host
    from corral.guard.detector_fact import detector_fact

    return json.dumps(survey_host(config, more=(detector_fact(home),)).document()).encode()


def report_host(home: Home, document: bytes) -> None:
    """Write down what this host can enforce, for the admin API: the gateway cannot see the host.

    Whether corral may start is not decided here but by the launcher.

    Raises:
        CorralError: code `state_write_failed`.
    """
    from corral.pki.atomic import write_atomically

    home.run.mkdir(parents=True, exist_ok=True)
    write_atomically(home.host_report, document, mode=0o600)


def certificate_names(config: Config) -> tuple[str, ...]:
    """Return the names that the own certificate must carry besides the loopback ones."""
    address = ipaddress.ip_address(config.listen.host)
    own = () if address.is_loopback or address.is_unspecified else (config.listen.host,)
    return (*config.listen.names, *own)


def check_exposure(home: Home, config: Config) -> None:
    """Refuse to serve others than this machine without a single usable key.

    TLS needs no check: there is no way to serve without it.

    Raises:
        CorralError: code `no_keys`.
    """
    if ipaddress.ip_address(config.listen.host).is_loopback:
        return
    from corral.tenancy.keys import list_keys

    if not any(key.status() == "active" for key in list_keys(home.database)):
        raise CorralError(
            "no_keys",
            f"{config.listen.host} can be reached by others, and there is no usable API key",
            remedy="make one with: corral key create TENANT --name NAME",
        )


def base_url(config_host: str, names: tuple[str, ...], host: str, port: int) -> str:
    """Return the URL that a client on this machine uses.

    Args:
        config_host: the address that was asked for.
        names: names that the certificate carries besides the loopback ones.
        host: the address that the server reports.
        port: the port that the server reports.
    """
    address = ipaddress.ip_address(config_host)
    shown = host
    if address.is_unspecified:
        shown = names[0] if names else "127.0.0.1"
    return f"https://[{shown}]:{port}" if ":" in shown else f"https://{shown}:{port}"


def _announce(
    home: Home, config: Config, first: FirstKeys | None, as_json: bool, pid: int,
    host: str, port: int,
) -> None:  # fmt: skip
    """Tell whoever started us that the server answers; runs in a child of the launcher."""
    try:
        note_serving(home, _serving(config, pid))
    except CorralError as error:
        print_error(error, as_json=False)
    _warn_of_models(home)
    url = base_url(config.listen.host, config.listen.names, host, port)
    ca_file = None if config.tls.cert_file else str(home.ca_cert)
    if as_json:
        document: dict[str, object] = {"url": url, "ca_file": ca_file}
        if first:
            document |= {"api_key": first.api_key, "admin_key": first.admin_key}
        print_json({**document, "pid": pid})
        return
    _show_banner(url, ca_file, first)


def _warn_of_models(home: Home) -> None:
    """Say which admitted models are not served, as their receipts do not count."""
    from corral.cli.models import note_faults, read_catalog

    try:
        note_faults(read_catalog(home)[1])
    except CorralError as error:
        print_error(error, as_json=False)


def _serving(config: Config, pid: int) -> Serving:
    return Serving(
        pid=pid, names=certificate_names(config), cert_file=config.tls.cert_file,
        key_file=config.tls.key_file,
    )  # fmt: skip


def _show_banner(url: str, ca_file: str | None, first: FirstKeys | None) -> None:
    from rich.text import Text

    line = Text("corral serves on ", style="bold")
    line.append(url, style="bold cyan")
    notes().print(line)
    if ca_file:
        print_note(f"  CA file    {ca_file}")
    _show_keys(first)
    trust = f"--cacert {ca_file} " if ca_file else ""
    print_note(f'  try        curl {trust}{url}/v1/models -H "Authorization: Bearer $KEY"')
    print_note("  stop       Ctrl-C, or: corral stop")


def _complain(first: FirstKeys | None, as_json: bool, error: CorralError) -> None:
    print_error(error, as_json=as_json)
    _show_keys(first)


def _show_keys(first: FirstKeys | None) -> None:
    """Print the first keys for the person at the terminal."""
    if first:
        print_note(f"  API key    {first.api_key}   (tenant default)")
        print_note(f"  admin key  {first.admin_key}")
        print_note("  shown once: keep both now; more with corral key create")
