"""`corral`: registers the verbs and turns errors into words and exit codes.

Trust: operator side. Input: the operator's command line.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage (`scan`: could not decide);
3 a model is held back (`admit`); 70 a defect of
corral itself (`internal_error`); 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from corral.cli import (
    admit,
    advisory,
    audit,
    config,
    doctor,
    explain,
    fsck,
    grant,
    key,
    lock,
    logs,
    models,
    ps,
    pull,
    release,
    reload,
    run,
    scan,
    selftest,
    service,
    show,
    sign,
    stop,
    tenant,
    up,
    usage,
    verify,
    version,
)
from corral.cli.failure import exit_code, traceback_for_who_asks, typed_failure
from corral.cli.terminal import print_error, print_note

app = typer.Typer(
    name="corral",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The server for GGUF models you do not trust, for users who do not trust each other.",
    epilog="First steps: corral pull SOURCE, then corral run MODEL, or corral up.",
)
app.command("up")(up.up)
app.command("pull")(pull.pull)
app.command("lock")(lock.lock)
app.command("admit")(admit.admit)
app.command("scan")(scan.scan)
app.command("explain")(explain.explain)
app.command("sign")(sign.sign)
app.command("verify")(verify.verify)
app.command("run")(run.run)
app.command("list")(models.list_models)
app.command("show")(show.show)
app.command("rm")(models.rm)
app.command("fsck")(fsck.fsck)
app.command("ps")(ps.ps)
app.command("stop")(stop.stop)
app.command("release")(release.release)
app.command("reload")(reload.reload)
app.command("logs")(logs.logs)
app.add_typer(audit.app, name="audit")
app.add_typer(key.app, name="key")
app.add_typer(tenant.app, name="tenant")
app.add_typer(grant.app, name="grant")
app.command("usage")(usage.usage)
app.command("doctor")(doctor.doctor)
app.command("selftest")(selftest.selftest)
app.add_typer(advisory.app, name="advisory")
app.add_typer(config.app, name="config")
app.add_typer(service.app, name="service")
app.command("version")(version.version)


def main() -> None:
    """Run the command line and exit."""
    as_json = bool({"--json", "--print-json"} & set(sys.argv[1:]))
    try:
        app()
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
