"""`corral`: finds the verb's module and turns errors into words and exit codes.

Trust: operator side. Input: the operator's command line.

Only the module of the verb that is asked for is imported: `corral up` is on the way back after a
crash, and all the others would cost it a tenth of a second.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage (`scan`: could not decide);
3 a model is held back (`admit`); 70 a defect of
corral itself (`internal_error`); 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import typer

from corral.cli.actions import record_group, recorded
from corral.cli.failure import exit_code, traceback_for_who_asks, typed_failure
from corral.cli.terminal import print_error, print_note
from corral.cli.verb_unsafe import load_verb

VERBS: Final = {
    "up": "up:up",
    "pull": "pull:pull",
    "derive": "derive:derive",
    "lock": "lock:lock",
    "admit": "admit:admit",
    "scan": "scan:scan",
    "explain": "explain:explain",
    "sign": "sign:sign",
    "verify": "verify:verify",
    "run": "run:run",
    "list": "models:list_models",
    "show": "show:show",
    "rm": "models:rm",
    "fsck": "fsck:fsck",
    "ps": "ps:ps",
    "stop": "stop:stop",
    "release": "release:release",
    "reload": "reload:reload",
    "logs": "logs:logs",
    "traces": "traces:app",
    "audit": "audit:app",
    "key": "key:app",
    "tenant": "tenant:app",
    "grant": "grant:app",
    "oidc": "oidc:app",
    "cert": "cert:app",
    "share": "share:app",
    "quota": "quota:app",
    "detector": "detector:app",
    "sanitation": "sanitation:app",
    "sanitise": "sanitise:sanitise",
    "usage": "usage:usage",
    "doctor": "doctor:doctor",
    "selftest": "selftest:selftest",
    "advisory": "advisory:app",
    "config": "config:app",
    "master-key": "master_key:app",
    "backup": "backup:backup",
    "restore": "backup:restore",
    "service": "service:app",
    "version": "version:version",
}
"""Each verb in the order of `--help`: a module of `corral.cli` and what is in it, a function or,
for a verb with verbs of its own, a `Typer`."""


def command_line(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """Return the command line with these verbs, all unless told otherwise."""
    app = typer.Typer(
        name="corral",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="The server for GGUF models you do not trust, for users who do not trust each other.",
        epilog="First steps: corral pull SOURCE, then corral run MODEL, or corral up.",
    )
    app.callback()(_root)
    for verb in verbs:
        found = load_verb(VERBS[verb])
        if isinstance(found, typer.Typer):
            record_group(verb, found)
            app.add_typer(found, name=verb)
        else:
            app.command(verb)(recorded(verb, found))
    return app


def _root() -> None:
    """Without this, typer takes a command line of one verb for that verb."""


def asked_verbs(words: Sequence[str]) -> Iterable[str]:
    """Return the verb that the first word is, else all: for help, completion and suggestions."""
    return words[:1] if words and words[0] in VERBS else VERBS


def main() -> None:
    """Run the command line and exit."""
    as_json = bool({"--json", "--print-json"} & set(sys.argv[1:]))
    try:
        command_line(asked_verbs(sys.argv[1:]))()
    except BrokenPipeError:
        # Whoever read our output has gone (`corral logs | head`): nothing more to say.
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        failure = typed_failure(error)
        print_error(failure, as_json=as_json)
        if asked := traceback_for_who_asks(error, failure):
            print_note(asked)
        sys.exit(exit_code(failure))
    sys.exit(1)


if __name__ == "__main__":
    main()
