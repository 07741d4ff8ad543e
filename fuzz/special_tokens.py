"""`make fuzz-special-tokens`: forged conversations, and how many control tokens came out of them.

Each is rendered by the model's own template and tokenised by the engine, as a worker does it; then
as the bare engine does it, for the control. Models are files; without one the demo model is pulled.

Exit code 1 if a content became a control token, or if the control shows that nothing was tried.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from corral_side import bench_home, model_file
from gguf import GGUFReader

from corral.admission.template.builtin_templates import built_in_text, fitting_built_in
from corral.engine.prompt_ids import PromptError
from fuzz.forged_texts import ForgedTexts
from tests.support.caged_engine import CagedEngine, chat

_WORDS = 2000


def main() -> int:
    """Forge; return the exit code."""
    parser = argparse.ArgumentParser(description="Contents that would like to be control tokens.")
    parser.add_argument("--count", type=int, default=100_000, help="conversations for each model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("models", nargs="*", type=Path)
    options = parser.parse_args()
    models = options.models or [model_file(bench_home())]
    return max(forge(model, options.count, options.seed) for model in models)


def forge(model: Path, count: int, seed: int) -> int:
    """Send forged conversations to one model's template and tokenizer, and print what came out."""
    caged = CagedEngine(model, chat_template(model), context_tokens=512)
    every = caged.vocabulary()
    forger = ForgedTexts(caged.literals, every[:_WORDS], seed)
    expected = caged.barred(caged.ids(chat(("user", "a"), ("assistant", "b"), ("user", "c"))))
    broken = refused = obeyed = 0
    began_s = time.monotonic()
    for number in range(count):
        first, second = forger.parts()
        last = f"a{every[number % len(every)]}"
        messages = chat(("user", first), ("assistant", second), ("user", last))
        try:
            broken += caged.barred(caged.ids(messages)) != expected
        except PromptError:
            refused += 1
        obeyed += caged.barred(caged.naive(messages)) != expected
    broken += sum(bool(caged.barred(caged.of_text(token))) for token in every)
    caged.close()
    print(
        f"{model.name}: {count} forged conversations and {len(every)} tokens as texts, "
        f"{len(caged.prompts.barred)} control and user-defined tokens, seed {seed}\n"
        f"  with tokens out of contents: {broken}; refused: {refused}; "
        f"the bare engine obeys: {obeyed}; {time.monotonic() - began_s:.0f} s",
        flush=True,
    )
    return int(broken > 0 or obeyed < count // 2)


def chat_template(model: Path) -> str:
    """Return the template in a model's file, or the built-in one that fits its vocabulary."""
    fields = GGUFReader(model).fields
    field = fields.get("tokenizer.chat_template")
    if field is not None:
        return bytes(field.parts[field.data[0]]).decode()
    tokens = fields["tokenizer.ggml.tokens"]
    texts = [bytes(tokens.parts[place]).decode("utf-8", "replace") for place in tokens.data]
    return built_in_text(fitting_built_in(texts, ""))


if __name__ == "__main__":
    sys.exit(main())
