"""`corral sanitise`: try a text, an image or a sound, and see what a policy makes of it.

Trust: operator side. Input: a hostile file; what is shown of a text is made inert, and
an image or a sound is decoded in a jail (`cli.media_trial`).
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from corral.cli.models import find_model
from corral.cli.options import HomeOption, JsonOption, open_state
from corral.cli.sanitation import find_policy
from corral.cli.terminal import (
    plain_text,
    print_heading,
    print_json,
    print_note,
    print_table,
    screen,
)
from corral.core.errors import CorralError
from corral.core.home import Home

if TYPE_CHECKING:
    from corral.guard.finding import Origin, Part
    from corral.guard.input_chain import Step
    from corral.guard.output_chain import OutputRules
    from corral.guard.policy import SanitationPolicy
    from corral.guard.policy_file import PolicySet

_BYTES_MAX: Final = 16 << 20
_REFUSED: Final = 1


def sanitise(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE|-", help="A text in UTF-8, an image or a sound; - is stdin."),
    ],
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME", help="By this policy; else the default.")
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="With the control tokens of this model.",
            show_default=False,
        ),
    ] = "",
    origin: Annotated[
        str,
        typer.Option(
            "--origin",
            metavar="WHO",
            help="Who wrote it: system, user, assistant, tool or document.",
        ),
    ] = "user",
    answer: Annotated[
        bool, typer.Option("--answer", help="As what a model says, not what it is sent.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Write the image (PNG) or the sound (WAV) that was made anew.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try a text: what each stage of a policy finds, does and costs, and what a model would read.

    An image or a sound is decoded in a jail and made anew, without what else its file says.

    Exit code 1 where a request with it is refused, or an answer is ended by it.

    Example: corral sanitise --policy strict --model smollm2-135m-instruct mail.txt
    """
    from corral.guard.finding import Part
    from corral.guard.guard_model import wants_guard_model
    from corral.guard.input_chain import input_chain
    from corral.guard.output_chain import output_rules
    from corral.guard.special_tokens import control_tokens
    from corral.media.formats import sniff

    who = _origin(origin)
    data = _read(file)
    tokens: tuple[str, ...] = ()
    if model:
        tokens = find_model(open_state(home), model).receipt.control_tokens
    policies = _policies(home)
    chosen = find_policy(policies, policy) if policy else policies.default
    if (format_ := sniff(data)) is not None:
        from corral.cli.media_trial import try_media

        if not try_media(format_, data, chosen, Home.locate(home), output, as_json=as_json):
            raise typer.Exit(_REFUSED)
        return
    if output is not None:
        raise CorralError("bad_output", "--output is for images and sounds")
    text = data.decode("utf-8", "surrogateescape")
    if answer:
        _try_answer(text, output_rules(chosen, control_tokens(tokens)), as_json=as_json)
        return
    chain = input_chain(chosen, control_tokens(tokens))
    part = Part(file, text, who)
    steps = tuple(chain.steps(part))
    if all(step.refused is None for step in steps):
        cleaned = steps[-1].text if steps else text
        steps += _detected(chosen, replace(part, text=cleaned), Home.locate(home))
    refused = next((step.refused for step in steps if step.refused is not None), None)
    cleaned = steps[-1].text if steps else text
    if as_json:
        print_json({
            "policy": chosen.name, "mode": chosen.mode,
            "refused": refused.code if refused else None,
            "text": None if refused else cleaned,
            "steps": [_document(step) for step in steps],
        })  # fmt: skip
    else:
        _show(steps)
        if refused is not None:
            print_note(f"refused: {refused.code}: {refused.message}")
        else:
            if wants_guard_model(chosen):
                print_note("the policy's guard model is asked by the server only")
            print_heading("what a model reads")
            screen().print(plain_text(cleaned), soft_wrap=True)
    if refused is not None:
        raise typer.Exit(_REFUSED)


def _try_answer(text: str, rules: OutputRules, *, as_json: bool) -> None:
    """Show what becomes of an answer; in pieces or whole, it is the same."""
    from corral.guard.output_chain import Asked

    policy, chain = rules.policy, rules.chain(Asked())
    began_s = time.perf_counter()
    told = chain.feed(text)
    told += chain.flush()
    spent_ms = round(1000 * (time.perf_counter() - began_s), 3)
    found = [
        {"kind": kind, "handling": str(policy.handling[kind]), "count": count}
        for kind, count in sorted(chain.judge.seen.items())
    ]
    stopped = chain.stopped
    if as_json:
        print_json({
            "policy": policy.name, "mode": policy.mode,
            "refused": stopped.code if stopped else None,
            "text": told, "findings": found, "ms": spent_ms,
        })  # fmt: skip
    else:
        rows = [tuple(str(one) for one in line.values()) for line in found]
        print_table(("FINDING", "HANDLING", ">COUNT"), rows, empty="nothing is found")
        print_note(f"{spent_ms} ms" + (f"; ended by {stopped.code}" if stopped else ""))
        print_heading("what goes out")
        screen().print(plain_text(told), soft_wrap=True)
    if stopped is not None:
        raise typer.Exit(_REFUSED)


def _detected(policy: SanitationPolicy, part: Part, home: Home) -> tuple[Step, ...]:
    """Return what the detector says, in its jail; nothing if the policy does without.

    Raises:
        CorralError: code `detector_failed`, or that of a policy which requires one.
    """
    from corral.guard.detection import detectable, judge, refusal, wants_detector
    from corral.guard.input_chain import Step

    if not wants_detector(policy) or not detectable(part):
        return ()
    if not home.detector.is_dir():
        if policy.options.detector == "required" and policy.mode == "enforce":
            raise CorralError(
                "detector_missing", "the policy requires a detector, and none is installed",
                remedy="corral detector install",
            )  # fmt: skip
        return ()
    from corral.admission.detector import ask_detector
    from corral.cli.job_unsafe import job_launcher

    with job_launcher(home, {}) as launcher:
        ready, (answer,), spent_s = ask_detector(launcher, [part.text])
    found = judge(policy, part, answer.score, answer.view, flag=ready.flag, block=ready.block)
    seen = () if found is None else (found,)
    return (Step("detector", seen, part.text, refusal(policy, seen), spent_s),)


def _show(steps: tuple[Step, ...]) -> None:
    rows = []
    for step in steps:
        spent_ms = f"{1000 * step.spent_s:.3f}"
        for one in step.seen:
            found = one.finding
            where = f"{found.start}-{found.end}"
            rows.append((step.stage, found.kind, str(one.handling), where, found.note, spent_ms))
        if not step.seen:
            rows.append((step.stage, "-", "-", "-", "", spent_ms))
    print_table(
        ("STAGE", "FINDING", "HANDLING", "CHARACTERS", "NOTE", ">MS"), rows, empty="no stage looks"
    )


def _document(step: Step) -> dict[str, object]:
    return {
        "stage": step.stage,
        "ms": round(1000 * step.spent_s, 3),
        "findings": [
            {
                "kind": one.finding.kind, "handling": str(one.handling),
                "start": one.finding.start, "end": one.finding.end, "note": one.finding.note,
            }
            for one in step.seen
        ],
    }  # fmt: skip


def _policies(home: str | None) -> PolicySet:
    """Return the policies of an installation; the built-in ones where there is none."""
    from corral.gateway.sanitation_table import read_document
    from corral.guard.policy_file import parse_policy_set

    if not Home.locate(home).database.exists():
        return parse_policy_set("")
    return parse_policy_set(read_document(open_state(home).database))


def _origin(word: str) -> Origin:
    from corral.guard.finding import ORIGINS

    for one in ORIGINS:
        if one == word:
            return one
    raise CorralError("bad_origin", f"--origin is one of {', '.join(ORIGINS)}")


def _read(file: str) -> bytes:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(_BYTES_MAX + 1)
    except OSError as error:
        raise CorralError("text_unreadable", "the text cannot be read") from error
    if len(data) > _BYTES_MAX:
        raise CorralError("text_unreadable", f"the text is longer than {_BYTES_MAX} bytes")
    return data
