"""The selftest's result as one HTML file without scripts or outside references.

Trust: operator side. Input: the document of `document`; every text in it is escaped.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

_STYLE: Final = """
body{font:14px/1.4 system-ui,sans-serif;margin:2rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .6rem;
border-bottom:1px solid #ddd;vertical-align:top}th{position:sticky;top:0;background:#fff}
.green{color:#0a6b2c}.red{color:#fff;background:#b00020}.invalid{background:#ffd54f}
.allowed{color:#7a5200}.n{color:#666}code{font-size:13px}
"""
_COLUMNS: Final = ("runtime", "zone", "probe", "title", "outcome", "control", "verdict", "reason")


def render_page(document: dict[str, Any]) -> str:
    """Return the page."""
    counts = ", ".join(f"{number} {name}" for name, number in document["counts"].items())
    rows = "\n".join(_row(line) for line in document["lines"])
    head = "".join(f"<th>{escape(name)}</th>" for name in _COLUMNS)
    verdict = "passed" if document["passed"] else "not passed"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>corral selftest</title><style>{_STYLE}</style></head><body>"
        f"<h1>corral selftest: {verdict}</h1>"
        f"<p>{escape(str(document['mode']))}, corral {escape(str(document['version']))}, "
        f"{escape(str(document['made']))}: {escape(counts)}</p>"
        "<p>Each line is one attack in one zone's jail, beside the same attack outside "
        "(control). Green: stopped, by the reason named, and the control shows that the attack "
        "works. Invalid: the control failed, so nothing is proved.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></body></html>\n"
    )


def _row(line: dict[str, Any]) -> str:
    cells = "".join(
        f"<td>{'<code>' if name in {'probe', 'outcome', 'control'} else ''}"
        f"{escape(str(line[name]))}"
        f"{'</code>' if name in {'probe', 'outcome', 'control'} else ''}</td>"
        for name in _COLUMNS
    )
    return f'<tr class="{escape(str(line["verdict"]).partition("/")[0])}">{cells}</tr>'
