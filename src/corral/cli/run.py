"""`corral run`: talk to an admitted model in its jail, without a server.

Trust: operator side. Input: the prompt is the operator's; the answer is a hostile model's and is
printed without control characters (as JSON: escaped).
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from corral.cli.options import (
    DegradedOption,
    HomeOption,
    JsonOption,
    ModelArgument,
    RuntimeOption,
    TierOption,
    effective_config,
    open_home,
    sandbox_settings,
)
from corral.cli.progress import shown_load
from corral.cli.terminal import print_json, print_note
from corral.core.ids import TenantName

_LOCAL = TenantName("local")
"""Shown in the process title; the worker is this command's own and shared with no tenant."""


def run(
    model: ModelArgument,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="[PROMPT]", help="Ask once; `-` reads stdin.", show_default=False),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="System message.", show_default=False)
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens", min=1, help="Longest answer.", show_default="limits.max_tokens"
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0, max=2, show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, show_default=False)] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also print tokens/s and time to first token.")
    ] = False,
    tier: TierOption = None,
    runtime: RuntimeOption = None,
    allow_degraded: DegradedOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Chat with a model in its sandbox; with PROMPT, ask once and leave.

    Example: corral run smollm2-135m-instruct "Why is the sky blue?" --max-tokens 80
    """
    from corral.admission.policy.document import LEVELS
    from corral.cli.chat import Conversation, chat, speed_line
    from corral.cli.engine_check import check_engine
    from corral.cli.job_unsafe import job_launcher
    from corral.cli.models import find_model
    from corral.cli.policed import policed_settings, raised_settings
    from corral.cli.scope_unsafe import settle_scope
    from corral.engine.allowance import allowed_config
    from corral.engine.local import LocalWorker
    from corral.engine.sizing import engine_start
    from corral.engine.wire import Sampling

    place = open_home(home)
    settings = policed_settings(place, sandbox_settings(tier, runtime, allow_degraded))
    config = effective_config(place, settings)
    settle_scope(config)
    check_engine(place, config)
    entry = find_model(place, model)
    allowance = entry.receipt.decision.allowance
    settings = raised_settings(config, settings, dict.fromkeys(LEVELS, allowance))
    config = allowed_config(config, allowance)
    if prompt == "-" or (prompt is None and (as_json or not sys.stdin.isatty())):
        prompt = piped_prompt()
    longest = max_tokens or config.limits.max_tokens
    if allowance.answer_tokens_max is not None:
        longest = min(longest, allowance.answer_tokens_max)
    sampling = Sampling(max_tokens=longest, temperature=temperature, seed=seed)
    start = engine_start(
        tenant=_LOCAL, model=entry.name, digest=entry.digest, receipt=entry.receipt, config=config,
        derivation=entry.receipt.derivation,
    )  # fmt: skip
    with job_launcher(place, settings) as launcher, ExitStack() as stack:
        with shown_load(entry.name) as loading:
            template = entry.receipt.template.text
            worker = stack.enter_context(
                LocalWorker(
                    launcher, start, template, config.engine.load_timeout_s, loading=loading
                )
            )
        talk = Conversation(worker=worker, sampling=sampling, system=system)
        if prompt is None:
            chat(talk, verbose=verbose)
            return
        answer = talk.ask(prompt, show=not as_json)
        if as_json:
            print_json(
                {
                    "model": entry.name,
                    "text": answer.text,
                    "finish_reason": answer.reason,
                    "usage": {
                        "prompt_tokens": answer.prompt_tokens,
                        "completion_tokens": answer.completion_tokens,
                    },
                    "first_token_s": round(answer.first_token_s, 4),
                    "tokens_per_s": round(answer.tokens_per_s, 1),
                }
            )
        elif verbose:
            print_note(speed_line(answer))


def piped_prompt() -> str:
    """Return what stands on stdin; bytes that are no UTF-8 become U+FFFD.

    Raises:
        CorralError: code `prompt_too_long`; no more than that is read.
    """
    from corral.core.limits import WIRE_LINE_BYTES
    from corral.engine.local import prompt_too_long

    typed = sys.stdin.buffer.read(WIRE_LINE_BYTES + 1)
    if len(typed) > WIRE_LINE_BYTES:
        raise prompt_too_long()
    return typed.decode(errors="replace")
