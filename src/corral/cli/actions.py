"""Which commands change something, and so leave two records in the operator's audit chain.

Trust: operator side. Input: the operator's command line. A command whose beginning cannot be
written down is not carried out.

Recorded of the arguments: numbers, switches, and words without spaces of at most 128 characters;
no path, source or prompt. What a pull brought in, and from where, is in the journal of admission.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import typer

from corral.cli.failure import typed_failure
from corral.cli.terminal import print_error
from corral.core.errors import CorralError
from corral.core.home import Home

ACTIONS: Final = {
    "admit": "model:decide",
    "audit verify": "audit:verify",
    "backup": "installation:backup",
    "cert issue": "certificate:issue",
    "cert map": "certificate:map",
    "cert revoke": "certificate:revoke",
    "cert trust": "certificate:trust",
    "derive": "model:derive",
    "fsck": "model:check",
    "grant add": "grant:change",
    "grant revoke": "grant:change",
    "key create": "key:create",
    "key revoke": "key:revoke",
    "key rotate": "key:rotate",
    "master-key change": "master_key:change",
    "detector install": "detector:set",
    "detector remove": "detector:set",
    "master-key lock": "master_key:lock",
    "master-key unlock": "master_key:unlock",
    "oidc refresh": "oidc:refresh",
    "pull": "model:pull",
    "release": "quarantine:delete",
    "quota clear": "quota:set",
    "quota set": "quota:set",
    "reload": "server:reload",
    "rm": "model:delete",
    "sanitation reset": "sanitation:set",
    "sanitation set": "sanitation:set",
    "share accept": "model:share",
    "share end": "model:share",
    "share offer": "model:share",
    "stop": "server:stop",
    "tenant add": "tenant:add",
    "tenant freeze": "tenant:freeze",
    "tenant remove": "tenant:remove",
    "tenant thaw": "tenant:thaw",
    "tenant wipe": "tenant:wipe",
}
"""Commands that are recorded, and as what."""
READING: Final = frozenset({
    "advisory check", "advisory list", "advisory show", "audit admissions", "audit export",
    "audit tail", "cert list", "config show", "detector show", "doctor", "explain", "grant list",
    "key list", "list", "lock", "logs", "master-key status", "oidc list", "oidc user", "ps",
    "quota show", "restore", "run", "sanitation check", "sanitation show", "sanitise", "scan",
    "selftest", "service install", "service show", "service uninstall", "service upgrade",
    "share list", "show", "sign", "tenant list", "tenant show", "traces export", "traces tail",
    "up", "usage", "verify", "version",
})  # fmt: skip
"""Commands that are not: they change nothing of the installation, or are in other records (a
server's start is the first record of a segment of its chain; a restore writes its own into the
chain that it puts back, as `installation:restore`)."""
_UNSPOKEN: Final = frozenset({
    "sources", "adapter", "prompt", "home", "as_json", "tenant", "for_tenant",
})  # fmt: skip
_COULD_NOT: Final = {"fsck": 2}
"""Verbs whose exit code tells "could not check" from "found something"."""
_TOKEN: Final = re.compile(r"(sk-corral-[a-z0-9]+)-\S*")
"""A whole API key, which some verbs take in place of its id: only its public part is kept."""
_WORD: Final = re.compile(r"[a-z_]{1,64}=\d{1,64}|[\w.:*/@+-]{1,128}", re.ASCII)


def record_group(verb: str, group: typer.Typer) -> None:
    """Have the verbs of a verb recorded, each as its table says."""
    for command in group.registered_commands:
        if command.callback is not None:
            command.callback = recorded(f"{verb} {command.name}", command.callback)


def recorded(verb: str, command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the command with its records; one that is not recorded comes back as it is."""
    action = ACTIONS.get(verb)
    if action is None or hasattr(command, "__wrapped__"):
        return command

    @functools.wraps(command)
    def call(**options: Any) -> Any:
        place = Home.locate(options.get("home"))
        if not place.database.exists():
            return command(**options)  # there is no installation yet, and nothing to change
        from corral.audit.operator import begin_command, end_command

        tenant = str(options.get("tenant") or options.get("for_tenant") or "")
        try:
            begun = begin_command(place, action, _word(tenant), spoken(options))
        except CorralError as error:
            if verb not in _COULD_NOT:
                raise
            print_error(error, as_json=bool(options.get("as_json")))
            raise typer.Exit(_COULD_NOT[verb]) from error
        code = "ok"
        try:
            return command(**options)
        except BaseException as error:
            code = _outcome(error)
            raise
        finally:
            end_command(place, begun, code)

    return call


def spoken(options: Mapping[str, object]) -> dict[str, str]:
    """Return the arguments of a command that are fit to be kept."""
    found = {}
    for name, value in options.items():
        if name in _UNSPOKEN or value is None or value is False:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        words = [_word(str(one)) for one in values if isinstance(one, str | int | float)]
        if words:
            found[name] = ",".join(words)[:512]
    return found


def _word(text: str) -> str:
    public = _TOKEN.sub(r"\1", text.strip())
    return public if not public or _WORD.fullmatch(public) else "?"


def _outcome(error: BaseException) -> str:
    if isinstance(error, typer.Exit):
        return "ok" if error.exit_code == 0 else f"exit_{error.exit_code}"
    if isinstance(error, Exception) and not isinstance(error, typer.Abort):
        return typed_failure(error).code
    return "interrupted"
