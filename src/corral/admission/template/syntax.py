"""Text of a template to its tree, within bounds; a text that has none is a finding.

Trust: scan jail. Input: untrusted text. The environment is that of Hugging Face and llama.cpp:
newlines behind blocks and blanks before them are gone, loops have `break` and `continue`, and the
tag `generation` marks text for training and means nothing here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser

from corral.admission.report import Finding
from corral.admission.template.limits import LOOP_DEPTH, NODES, TEXT_BYTES, TREE_DEPTH
from corral.admission.template.prescan import check_tokens


class GenerationTag(Extension):
    """The tag `generation` of Hugging Face: its body stands for itself."""

    tags: Final = {"generation"}  # type: ignore[misc]  # declared as a variable upstream

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the body."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


EXTENSIONS: Final = (LoopControlExtension, GenerationTag)
_environment: Final = Environment(
    trim_blocks=True, lstrip_blocks=True, extensions=EXTENSIONS, optimized=False,
    autoescape=False,  # noqa: S701  the output is text for a tokenizer, not HTML
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Template:
    """A template that can be walked.

    Attributes:
        name: key of the file that it stands under, escaped.
    """

    name: str
    text: str
    tree: nodes.Template

    def at(self, node: nodes.Node) -> str:
        """Return where a node is."""
        return f"{self.name}:{node.lineno}"[:160]


def parse_template(name: str, text: str) -> Template | Finding:
    """Return the tree of a template, or why it has none.

    1. bound the size
    2. bound the tokens and their nesting, before anything recurses
    3. parse
    4. bound the tree
    """
    # 1
    if len(text) > TEXT_BYTES or len(text.encode("utf-8", "surrogatepass")) > TEXT_BYTES:
        return Finding("template_size", "flag", "the chat template is too long", name)
    try:
        # 2
        refused = check_tokens(_environment, text, name)
        if refused is not None:
            return refused
        # 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in strings
            tree = _environment.parse(text)
    except (RecursionError, MemoryError):
        return Finding("template_dos", "flag", "the template is nested too deeply", name)
    except (TemplateError, ValueError, SyntaxError, OverflowError) as error:
        place = f"{name}:{getattr(error, 'lineno', None) or 0}"
        return Finding("template_syntax", "reject", "the chat template is not valid Jinja", place)
    # 4
    return _bounded(Template(name, text, tree))


def walk(node: nodes.Node) -> Iterator[tuple[nodes.Node, int, int]]:
    """Yield each node with its depth and the number of loops around it; never recurses."""
    waiting = [(node, 0, 0)]
    while waiting:
        current, depth, loops = waiting.pop()
        yield current, depth, loops
        inner = loops + isinstance(current, nodes.For)
        waiting += [(child, depth + 1, inner) for child in current.iter_child_nodes()]


def _bounded(template: Template) -> Template | Finding:
    for count, (node, depth, loops) in enumerate(walk(template.tree)):
        if count > NODES or depth > TREE_DEPTH or loops > LOOP_DEPTH:
            return Finding(
                "template_dos", "flag", "the template is too large or too deep", template.at(node)
            )
    return template
