"""Write docs/cli.md from the commands' own help (`make docs`)."""

from pathlib import Path

from corral.cli.reference import render_reference

if __name__ == "__main__":
    page = Path(__file__).parents[1] / "docs" / "cli.md"
    page.write_text(render_reference(), encoding="utf-8")
