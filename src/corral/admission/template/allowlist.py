"""Whether a template uses only what templates need: nothing that reaches past the conversation.

Trust: scan jail. Input: untrusted trees. In an unsandboxed renderer an attribute of a string leads
to every module of the process (CVE-2024-34359, CVE-2026-5760); names of such attributes are found
however they are put together, by folding constants first.
"""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from corral.admission.report import Finding
from corral.admission.template.folding import Folder
from corral.admission.template.names import (
    BY_ATTRIBUTE,
    FILTERS,
    GLOBALS,
    INTERNALS,
    LOADERS,
    METHODS,
    NODES,
    TESTS,
    leads_inside,
    looks_like_reflection,
)
from corral.admission.template.syntax import Template, walk


def check_words(template: Template, folder: Folder) -> Iterator[Finding]:
    """Yield `template_ssti` and `template_io` for each place that reaches too far."""
    own = {node.name for node, _, _ in walk(template.tree) if isinstance(node, nodes.Macro)}
    for node, _, _ in walk(template.tree):
        place = template.at(node)
        if isinstance(node, LOADERS):
            yield Finding("template_io", "flag", "the template reads other templates", place)
            continue
        reason = _reason(node, folder, own)
        if reason:
            yield Finding("template_ssti", "flag", reason, place)


def _reason(node: nodes.Node, folder: Folder, own: set[str]) -> str:
    if type(node) not in NODES:
        return "the template has a construct that no template needs"
    if isinstance(node, nodes.Expr) and not isinstance(node, nodes.TemplateData):
        text = folder.text(node)
        if text is not None and looks_like_reflection(text):
            return "a text names an inner attribute of a value"
    match node:
        case nodes.Getattr() if leads_inside(node.attr):
            return "an attribute leads to the interpreter"
        case nodes.Getitem():
            return _item(node, folder)
        case nodes.Name(ctx="load") if _is_internal(node.name):
            # A name that the template itself sets is no internal one.
            return "" if _is_set(node.name, folder) else "a name leads to the renderer"
        case nodes.Filter():
            return _filter(node, folder)
        case nodes.Test() if node.name not in TESTS:
            return "a test that no template needs"
        case nodes.Call():
            return _call(node, folder, own)
        case nodes.Mod() if folder.text(node.left) is not None:
            return "a text is made by a format"
    return ""


def _is_internal(name: str) -> bool:
    # `tojson` and `test_is_...` are names in llama.cpp's renderer only: they tell it from others.
    return name in INTERNALS or "__" in name or name == "tojson" or name.startswith("test_is_")


def _is_set(name: str, folder: Folder) -> bool:
    return "__" not in name and name in folder.stored


def _item(node: nodes.Getitem, folder: Folder) -> str:
    if isinstance(node.arg, nodes.Slice):
        return ""
    name = folder.text(node.arg)
    if name is not None and leads_inside(name):
        return "an attribute leads to the interpreter"
    known = folder.integer(node.arg) is not None or name is not None
    if not known and isinstance(node.node, nodes.Const | nodes.Concat | nodes.TemplateData):
        return "an attribute of a literal is looked up by a name that is made up"
    return ""


def _filter(node: nodes.Filter, folder: Folder) -> str:
    if node.name == "attr" or node.name not in FILTERS:
        return "a filter that no template needs"
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return "a filter has arguments that are made up"
    if node.name in {"map", "select", "reject", "selectattr", "rejectattr"}:
        at = 1 if node.name.endswith("attr") else 0
        allowed = FILTERS if node.name == "map" else TESTS
        for argument in node.args[at : at + 1]:
            if folder.text(argument) not in allowed:
                return "a filter calls one that no template needs"
    if node.name in BY_ATTRIBUTE:
        return _attribute(node, folder)
    return ""


def _attribute(node: nodes.Filter, folder: Folder) -> str:
    named = [k.value for k in node.kwargs if k.key == "attribute"]
    if node.name in {"selectattr", "rejectattr", "groupby"}:
        named += node.args[:1]
    for argument in named:
        name = folder.text(argument)
        if name is None and folder.integer(argument) is None:
            return "an attribute is looked up by a name that is made up"
        if name is not None and leads_inside(name):
            return "an attribute leads to the interpreter"
    return ""


def _call(node: nodes.Call, folder: Folder, own: set[str]) -> str:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return "a call has arguments that are made up"
    match node.node:
        case nodes.Name(name=name) if name in GLOBALS or name in own or name in {"caller", "loop"}:
            return ""
        case nodes.Getattr(attr=attr) if attr in METHODS:
            return ""
        case nodes.Getattr(attr="format", node=text):
            # Numbered or named fields could have attributes; empty ones only put texts in.
            template = folder.text(text)
            if template is not None and not set("{}") & set(template.replace("{}", "")):
                return ""
    return "a call that no template needs"
