"""Write the table of docs/advisories.md from the shipped records (`make docs`)."""

from pathlib import Path

from corral.advisories.database import shipped_records
from corral.advisories.engine import Status, installed_engine, judge
from corral.advisories.record import Advisory

PAGE = Path(__file__).parents[1] / "docs" / "advisories.md"
BEGIN, END = "<!-- table: make docs -->\n", "<!-- end -->\n"
CONSTRUCTS = "tests/unit/advisories/test_constructs.py"
UNREACHED = "tests/unit/advisories/test_unreached.py"
WORDS: dict[Status, str] = {
    "fixed": "no, fixed",
    "refused": "**yes**, kept out",
    "not-reached": "**yes**, not reached",
    "affected": "**yes**",
    "other-product": "another product",
    "withdrawn": "withdrawn",
}


def render_table() -> str:
    """Return a row for each shipped record."""
    engine = installed_engine().build
    rows = [
        "| Advisory | Flaw | Shipped engine | What keeps it out | Test |",
        "|---|---|---|---|---|",
    ]
    for record in sorted(shipped_records(), key=_order):
        rules = ", ".join(f"`{code}`" for code in record.corral.constructs)
        kept = " ".join(filter(None, (rules, record.corral.answer)))
        test = CONSTRUCTS if rules else UNREACHED if record.corral.feature else ""
        cells = (
            record.id, record.summary.replace("<", "&lt;"), WORDS[judge(record, engine)], kept,
            f"`{test}`" if test else "",
        )  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def page_with(table: str, page: str) -> str:
    """Return the page with the table between its marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + table + END + rest.split(END)[1]


def _order(record: Advisory) -> tuple[bool, str]:
    return not record.concerns_engine, record.id


if __name__ == "__main__":
    PAGE.write_text(page_with(render_table(), PAGE.read_text("utf-8")), encoding="utf-8")
