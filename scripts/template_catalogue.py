"""`make templates`: write the catalogue of known good templates from pinned PyPI artifacts.

A template is taken if the analyser has nothing against it, or if what it has stands on the list
below, with the reason why it is harmless where corral uses it. Everything else is left out, and
named on stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from template_sources import ARTIFACTS, markers, templates

from corral.admission.template.analysis import analyse_template
from corral.admission.template.known import KnownTemplate, line_digests
from corral.admission.template.normal import normalised, template_digest

PLACE = Path("src/corral/admission/template/known_templates.json")

_OWN_PROMPT = "puts its maker's general instructions beside the operator's; they were read"
_OPENING = "begins the answer with a line that opens the reasoning"
_TOOLS = "what is flagged stands in the branch for tools, which corral does not offer"
_SWITCH = "asks the system prompt for its maker's switch of reasoning; both branches were read"
REVIEWED = {
    "Apriel-1.6-15b-Thinker-fixed": _OPENING,
    "Bielik-11B-v3.0-Instruct": _OWN_PROMPT,
    "Cohere2MoE": _OWN_PROMPT,
    "CohereForAI-c4ai-command-r-plus-tool_use": _OWN_PROMPT,
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": _OWN_PROMPT,
    "GigaChat3-10B-A1.8B": _OWN_PROMPT,
    "GigaChat3.1-10B-A1.8B": _OWN_PROMPT,
    "LFM2.5-8B-A1B": _TOOLS,
    "Ling-3.0-flash": _SWITCH,
    "MiniMax-M3": _OWN_PROMPT,
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": _TOOLS,
    "inclusionai-ling-3.0-flash": _SWITCH,
    "meetkai-functionary-medium-v3.2": _OWN_PROMPT,
    "muse-glimmer": _SWITCH,
    "qwen1.5-chat": _TOOLS,
    "unsloth-mistral-Devstral-Small-2507": "its default prompt names addresses; it was read",
}
"""By name of the artifact's member: why a flagged template is in the catalogue all the same."""

FAMILIES = (
    "apertus", "apriel", "baichuan", "bielik", "chatml", "codegeex", "cogagent", "cohere",
    "command", "deepseek", "devstral", "ernie", "functionary", "gemma", "gigachat", "glm",
    "gpt-oss", "granite", "hermes", "hy3", "internlm", "kimi", "laguna", "lfm", "ling", "mimo",
    "minicpm", "minimax", "ministral", "mistral", "moonlight", "muse", "nemotron", "phi", "qwen",
    "qwq", "rwkv", "seed", "smollm", "solar", "spark", "step", "telechat", "llama", "yi",
)  # fmt: skip
"""The first that occurs in a name."""


def main() -> None:
    """Write the file, sorted by digest."""
    entries: dict[str, KnownTemplate] = {}
    for artifact in ARTIFACTS:
        for found in templates(artifact) if artifact.kind == "benign" else ():
            if not found.text:
                continue
            findings = analyse_template(
                found.name, found.text,
                control_tokens=found.control_tokens or markers(found.text),
                bos=found.bos, eos=found.eos,
            )  # fmt: skip
            codes = sorted({one.code for one in findings if one.severity != "info"})
            reason = REVIEWED.get(found.name, "") if codes else ""
            if codes and not reason:
                sys.stderr.write(f"left out: {found.name} ({', '.join(codes)})\n")
                continue
            digest = template_digest(found.text)
            entries.setdefault(digest, KnownTemplate(
                sha256=digest, name=found.name, family=_family(found.name),
                source=f"pypi {artifact.file}: {found.member.partition('/')[2]}",
                licence=artifact.licence,
                review=f"{', '.join(codes)}: {reason}" if reason else "",
                lines=line_digests(normalised(found.text)),
            ))  # fmt: skip
    lines = [msgspec.json.encode(entries[digest]).decode() for digest in sorted(entries)]
    PLACE.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    sys.stdout.write(f"{len(lines)} templates in {PLACE}\n")


def _family(name: str) -> str:
    """Return the family that a name names; the name itself if it names none."""
    return next((family for family in FAMILIES if family in name.lower()), name.lower())


if __name__ == "__main__":
    main()
