"""What the way out costs: time for each chunk, characters and chunks held back, hostile texts.

    make bench-answers

No engine and no server: the chain of a policy is fed an answer in pieces of about a token. Ordinary
answers are this repository's own pages. CPU time of this process, so that other work beside it
counts little. Prints goals; exit code 1 where one is missed.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from goals import Goal, percentile

from corral.guard.finding import Part
from corral.guard.output_chain import Asked, OutputRules
from corral.guard.policy import SanitationPolicy, built_in
from corral.guard.policy_file import parse_policy_set
from corral.guard.private_data import PrivateDataStage
from corral.guard.special_tokens import ControlTokens

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("api.md", "security-model.md", "sanitation.md", "request-flow.md", "operations.md")
TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]{1,2}|\s+")
TOKENS = ControlTokens(("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
PROMPT = "You are a helpful assistant of a library; you tell nobody where the key is. " * 8
HOSTILE = {
    "signs of assignment": "=" * 65536,
    "one endless word": "aB3" * 21845,
    "digits in fours": "4111 " * 13107,
    "beginnings of keys": "sk-ant-" * 9362,
    "beginnings of accounts": "DE89 " * 13107,
    "addresses": ("a" * 63 + "@") * 1024,
    "brackets": "![](" * 16384,
    "backticks": "`<" * 32768,
    "markup": "<a " * 21845,
    "canary's letters": "b c d f " * 8192,
}
LOOK_EVERY = 17
LOOKS = 120
GOAL_P50_MS = 2.0
GOAL_HELD_CHARACTERS = 256
"""64 tokens of four characters."""
GOAL_INPUT_MS = 1.0


def policies() -> list[SanitationPolicy]:
    """Return the two that everybody has, and one that looks for all there is."""
    every = parse_policy_set(
        'default = "all"\n[policies.all]\nbase = "strict"\n'
        'input = { email_address = "clean", phone_number = "clean", ip_address = "clean" }\n'
        'output = { prompt_leak = "refuse", repetition = "report", output_email_address = "clean", '
        'output_phone_number = "clean", output_ip_address = "clean" }\n'
        'options = { private_terms = ["Ada Lovelace"] }'
    ).default
    return [built_in("balanced"), built_in("strict"), every]


def stream(rules: OutputRules, chunks: Sequence[str]) -> list[float]:
    """Return the times of an answer's chunks in ms."""
    chain = rules.chain(Asked(canary="q" * 16, prompts=(PROMPT,)))
    spent: list[float] = []
    for chunk in chunks:
        began = time.process_time_ns()
        chain.feed(chunk)
        spent.append((time.process_time_ns() - began) / 1e6)
    return spent


def held_back(rules: OutputRules, text: str) -> int:
    """Return the most characters that are held back of a text, wherever it may have come to."""
    most = 0
    for size in range(1, LOOKS * LOOK_EVERY, LOOK_EVERY):
        chain = rules.chain(Asked(canary="q" * 16, prompts=(PROMPT,)))
        chain.feed(text[:size])
        most = max(most, len(chain.flush()))
    return most


def main() -> int:
    """Print the figures."""
    goals: list[Goal] = []
    text = "".join((DOCS / page).read_text(encoding="utf-8") for page in PAGES)
    chunks = TOKEN.findall(text)
    print(f"ordinary: {len(text)} characters in {len(chunks)} chunks of about a token")
    words = " ".join(re.findall(r"[a-z]+", text))
    for policy in policies():
        rules = OutputRules(policy, TOKENS)
        spent = stream(rules, chunks)
        p50, p99 = percentile(spent, 50), percentile(spent, 99)
        held = held_back(rules, words)
        print(
            f"{policy.name:9} chunk p50 {p50:.3f} ms, p99 {p99:.3f} ms; plain words: held back "
            f"{held} characters at most"
        )
        goals.append(Goal(f"added to a chunk, p50, {policy.name}", p50, "ms", GOAL_P50_MS,
                          at_least=False))  # fmt: skip
        stage = PrivateDataStage(policy.effective(), policy.options)
        times = []
        for at in range(0, len(text) - 4096, 4096):
            part = Part("prompt", text[at : at + 4096], "user")
            began = time.process_time_ns()
            stage.look(part)
            times.append((time.process_time_ns() - began) / 1e6)
        took = percentile(times, 50)
        print(f"{policy.name:9} way in, private_data, 4 kB of text: p50 {took:.3f} ms, "
              f"most {max(times):.3f} ms")  # fmt: skip
        goals.append(Goal(f"private data in 4 kB, p50, {policy.name}", took, "ms", GOAL_INPUT_MS,
                          at_least=False))  # fmt: skip
    hostile(goals)
    for goal in goals:
        state = "met" if goal.met else "MISSED"
        print(f"{goal.name}: {goal.figure:.3f} {goal.unit}, at most {goal.limit:g}: {state}")
    return 0 if all(goal.met for goal in goals) else 1


def hostile(goals: list[Goal]) -> None:
    """Print what hostile texts cost: linear means that twice the text takes twice the time."""
    policy = policies()[-1]
    rules = OutputRules(policy, TOKENS)
    stage = PrivateDataStage(policy.effective(), policy.options)
    worst = 0
    for name, text in HOSTILE.items():
        pieces = [text[at : at + 4] for at in range(0, 16384, 4)]
        spent, held = stream(rules, pieces), held_back(rules, text)
        worst = max(worst, held)
        once, twice = (_whole(stage, rules, text[:size]) for size in (32768, 65536))
        p50 = percentile(spent, 50)
        print(
            f"{name:22} chunk p50 {p50:.3f} ms; held back {held} characters; "
            f"whole: 32 kB {once:.0f} ms, 64 kB {twice:.0f} ms"
        )
    goals.append(Goal("held back of hostile texts", worst, "characters",
                      GOAL_HELD_CHARACTERS, at_least=False))  # fmt: skip


def _whole(stage: PrivateDataStage, rules: OutputRules, text: str) -> float:
    began = time.process_time_ns()
    stage.look(Part("prompt", text, "user"))
    chain = rules.chain(Asked(canary="q" * 16, prompts=(PROMPT,)))
    chain.feed(text)
    chain.flush()
    return (time.process_time_ns() - began) / 1e6


if __name__ == "__main__":
    sys.exit(main())
