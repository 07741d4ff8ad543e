"""How large, deep and long-running a chat template may be.

Trust: scan jail; constants. Measured on the 71 templates that llama.cpp ships (docs/templates.md):
the largest has 18 KB, 3,770 tokens, 1,287 nodes and a tree of depth 28.
"""

from __future__ import annotations

from typing import Final

TEXT_BYTES: Final = 256 * 1024
TOKENS: Final = 24_000
BRACKET_DEPTH: Final = 24
BLOCK_DEPTH: Final = 40
TAG_PREFIXES: Final = 64
"""`not`, signs and inline `if` in one tag: jinja's parser recurses once for each."""
NUMBER_CHARS: Final = 20
NODES: Final = 8_000
TREE_DEPTH: Final = 90
LOOP_DEPTH: Final = 6
MACROS: Final = 128
INTEGER: Final = 1 << 31
RANGE_ITEMS: Final = 4096
REPEATED_CHARS: Final = 1024
PADDING: Final = 256

FOLDED_CHARS: Final = 4096
FOLDED_ITEMS: Final = 256
FOLDING_STEPS: Final = 50_000

OUTPUT_CHARS: Final = 1 << 20
STRING_CHARS: Final = 1 << 18
PRODUCED_CHARS: Final = 1 << 22
"""All strings that one rendering makes, together."""
STEPS: Final = 400_000
"""Nodes that one rendering may evaluate, counted by loop turns and calls."""
CONTAINER_ITEMS: Final = 8192
CPU_S: Final = 4.0
"""Processor time of all renderings of one template."""

TRIED_TEXTS: Final = 40
"""Texts of a template's conditions that renderings say."""
TRIED_TEXT_CHARS: Final = 120
TRIED_MESSAGES: Final = 128
"""Longest conversation that is tried; a condition on a longer one is refused."""
