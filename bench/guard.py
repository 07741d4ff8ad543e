"""`make bench-guard`: what rules and detector find, and of what they are wrong, on public sets.

    PYTHONPATH=. .venv/bin/python bench/guard.py [--data FOLDER] [--detector FOLDER]

Needs the sets of `shared/data/injection` (JSON lines of text and label) and an installed detector.
The classifier runs in this process, on one thread; the product runs it in a jail. Numbers on sets
that a detector was trained on mean nothing: which these are for the shipped one is not known but by
its own list, which names none of those used here.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evasions import FURTHER, KNOWN
from machine import machine_facts

from corral.core.home import Home
from corral.guard.classifier import Classifier
from corral.guard.injection_rules import RuleSet
from corral.guard.views import views

ROOT: Final = Path(__file__).parents[1]
DATA: Final = ROOT.parent / "shared" / "data" / "injection"
RESULTS: Final = ROOT / "bench" / "results"
PAGE: Final = ROOT / "docs" / "sanitation.md"
MARK: Final = "<!-- make bench-guard writes from here to the end of this section -->"
SETS: Final = {
    "notinject": "hard benign: words of attacks",
    "cse_frr_benign": "hard benign: security and code",
    "xstest_safe": "benign that sounds unsafe",
    "deepset_test": "English and German",
    "gandalf": "players' attacks",
    "cse_pi": "attacks with system prompts",
    "bipia_embedded": "in mails, tables, code; clean twins",
    "bipia_attack": "the orders alone",
}
POOLS: Final = {
    "pooled": (("deepset_test", "cse_pi", "gandalf"), ("notinject", "cse_frr_benign")),
    "pooled with embedded": (
        ("deepset_test", "cse_pi", "gandalf", "bipia_embedded"),
        ("notinject", "cse_frr_benign", "xstest_safe", "deepset_test", "bipia_embedded"),
    ),
}  # fmt: skip
SAMPLE: Final = 100


@dataclass(frozen=True)
class Row:
    """One text's verdicts: scores of the text itself and of its worst view; whether a rule hits."""

    attack: bool
    raw: float
    best: float
    rule: bool

    @property
    def both(self) -> float:
        """A score in which every hit of a rule is above every score of the detector."""
        return self.best + self.rule


class Judge:
    """Rules and detector."""

    def __init__(self, folder: Path) -> None:
        self.classifier = Classifier(folder)
        self._rules = RuleSet()

    def look(self, text: str, *, attack: bool) -> Row:
        """Return the verdicts of one text."""
        readings = views(text)
        scores = self.classifier.score(view.text for view in readings)
        return Row(attack, scores[0], max(scores), bool(self._rules.hits(readings)))


def share(rows: Sequence[Row], flagged: Sequence[bool]) -> float:
    """Return which share is flagged."""
    return sum(flagged) / len(rows) if rows else float("nan")


def by_set(rows: Mapping[str, list[Row]], flag: float, block: float) -> list[dict[str, object]]:
    """Return shares by set, attacks and benign texts apart."""
    table = []
    for name, found in rows.items():
        for attack in (True, False):
            some = [row for row in found if row.attack is attack]
            if some:
                table.append({
                    "set": name, "what": "attack" if attack else "benign", "texts": len(some),
                    "rules": share(some, [row.rule for row in some]),
                    "flag": share(some, [row.best >= flag for row in some]),
                    "block": share(some, [row.best >= block for row in some]),
                    "both": share(some, [row.rule or row.best >= block for row in some]),
                })  # fmt: skip
    return table


def pooled(
    rows: Mapping[str, list[Row]], pool: tuple[Sequence[str], Sequence[str]]
) -> dict[str, float]:
    """Return recall where 1 and 5 % of the benign are flagged; each set has the same weight."""
    found: dict[str, float] = {}
    attacks = [[row for row in rows[name] if row.attack] for name in pool[0]]
    benign = [[row for row in rows[name] if not row.attack] for name in pool[1]]
    for kind in ("best", "both"):
        steps = sorted({getattr(row, kind) for some in (*attacks, *benign) for row in some})
        for most in (0.01, 0.05):
            low, high = 0, len(steps)  # the lowest threshold whose false positives are in bounds
            while low < high:
                middle = (low + high) // 2
                wrong = sum(
                    share(some, [getattr(row, kind) >= steps[middle] for row in some])
                    for some in benign
                ) / len(benign)  # fmt: skip
                low, high = (low, middle) if wrong <= most else (middle + 1, high)
            threshold = steps[low] if low < len(steps) else float("inf")
            found[f"{kind} at {most:.0%}"] = sum(
                share(some, [getattr(row, kind) >= threshold for row in some]) for some in attacks
            ) / len(attacks)  # fmt: skip
            found[f"{kind} threshold at {most:.0%}"] = threshold
    return found


def evaded(judge: Judge, attacks: Sequence[str], flag: float) -> list[dict[str, object]]:
    """Return recall of the same attacks, each written in another way."""
    table = []
    for group, ways in (("known", KNOWN), ("further", FURTHER)):
        for name, way in ways.items():
            rows = [judge.look(way(text), attack=True) for text in attacks]
            table.append({
                "evasion": name, "group": group,
                "raw": share(rows, [row.raw >= flag for row in rows]),
                "views": share(rows, [row.best >= flag for row in rows]),
                "rules": share(rows, [row.rule for row in rows]),
            })  # fmt: skip
    return table


def cost_ms(judge: Judge) -> dict[str, float]:
    """Return processor time of the classifier by tokens of a text."""
    prose = "The report describes how the market changed in the last year and what people think. "
    found = {}
    for tokens in (60, 250, 500, 1000):
        text = prose * (tokens * 4 // len(prose))
        began_s = time.process_time()
        for _ in range(5):
            judge.classifier.score([text])
        found[str(tokens)] = 1000 * (time.process_time() - began_s) / 5
    return found


def page(document: Mapping[str, Any]) -> str:
    """Return the tables of the page."""
    head = (
        f"Measured {document['date']}, {document['detector']} at flag {document['flag']}, block "
        f"{document['block']}; shares in percent. `both` is a hit of a rule, or the detector at "
        "`block`."
    )
    lines = [
        MARK, "", head, "",
        "| set | what | texts | rules | flag | block | both |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in document["sets"]:
        shares = " | ".join(f"{100 * row[k]:.1f}" for k in ("rules", "flag", "block", "both"))
        name = f"{row['set']}: {SETS[row['set']]}"
        lines.append(f"| {name} | {row['what']} | {row['texts']} | {shares} |")
    lines += [
        "", "Recall where so many benign texts are flagged; each set has the same weight:", "",
        "| attacks | benign | detector at 1 % | at 5 % | with rules at 1 % | at 5 % |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, one in document["pools"].items():
        cells = " | ".join(
            f"{100 * one[k]:.1f}" for k in ("best at 1%", "best at 5%", "both at 1%", "both at 5%")
        )
        attacks, benign = (", ".join(side) for side in POOLS[name])
        lines.append(f"| {attacks} | {benign} | {cells} |")
    lines += [
        "", f"{SAMPLE} attacks of gandalf, each written in another way; recall at `flag`:", "",
        "| evasion | text itself | with scan views | rules |", "|---|---|---|---|",
    ]  # fmt: skip
    for row in document["evasions"]:
        cells = " | ".join(f"{100 * row[k]:.0f}" for k in ("raw", "views", "rules"))
        lines.append(f"| {row['evasion']} | {cells} |")
    cost = ", ".join(f"{n}: {ms:.0f}" for n, ms in document["cost_ms"].items())
    lines += [
        "", f"Benign texts at `flag` by the text itself and by views: {document['benign_views']}.",
        "", f"CPU-ms of the classifier for a text of so many tokens: {cost}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def plot(document: Mapping[str, Any], target: Path) -> None:
    """Draw recall by evasion."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "corral"
    from matplotlib import pyplot as plt

    rows = document["evasions"]
    places = range(len(rows))
    figure, axes = plt.subplots(figsize=(9, 7))
    for key, offset, label in (("raw", 0.2, "text itself"), ("views", -0.2, "scan views")):
        axes.barh([p + offset for p in places], [row[key] for row in rows], 0.4, label=label)
    axes.set_yticks(list(places), [row["evasion"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("recall at flag")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    """Measure, print, write JSON, plot and page."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--detector", type=Path, default=Home.locate(None).detector)
    options = parser.parse_args()
    judge = Judge(options.detector)
    manifest = judge.classifier.manifest
    rows: dict[str, list[Row]] = {}
    texts: dict[str, list[tuple[str, bool]]] = {}
    for name in SETS:
        lines = (options.data / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        texts[name] = [(one["text"], one["label"] == 1) for one in map(json.loads, lines)]
        rows[name] = [judge.look(text, attack=attack) for text, attack in texts[name]]
    benign = [row for some in rows.values() for row in some if not row.attack]
    raw = 100 * share(benign, [row.raw >= manifest.flag for row in benign])
    best = 100 * share(benign, [row.best >= manifest.flag for row in benign])
    document: dict[str, object] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine_facts(),
        "detector": manifest.name, "flag": manifest.flag, "block": manifest.block,
        "sets": by_set(rows, manifest.flag, manifest.block),
        "pools": {name: pooled(rows, pool) for name, pool in POOLS.items()},
        "evasions": evaded(judge, [t for t, a in texts["gandalf"] if a][:SAMPLE], manifest.flag),
        "benign_views": f"{raw:.1f} and {best:.1f} % of {len(benign)}",
        "cost_ms": cost_ms(judge),
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "guard.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    plot(document, RESULTS / "guard.svg")
    shown = page(document)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARK)
    after = rest[rest.index("\n## ") :] if "\n## " in rest else ""
    PAGE.write_text(before + shown + after, encoding="utf-8")
    print(shown)


if __name__ == "__main__":
    main()
