"""Render a conversation with a template as engines do, in a sandbox and within a meter.

Trust: scan jail. Input: untrusted templates that the allow-list has passed; conversations are ours.
The outcome is a value whatever the template does: text, a refusal of its own, or why it was ended.
"""

from __future__ import annotations

import datetime
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from jinja2 import TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from corral.admission.template import metering, untaken
from corral.admission.template.limits import CONTAINER_ITEMS, PADDING, STRING_CHARS
from corral.admission.template.meter import Meter, OverLimitError, weight
from corral.admission.template.names import METHODS
from corral.admission.template.syntax import EXTENSIONS, Template, parse_template

Message = dict[str, Any]
End = Literal["text", "refused", "failed", "over_limit", "forbidden"]


@dataclass(frozen=True, slots=True)
class Rendering:
    """What became of one rendering.

    Attributes:
        end: `text`; `refused` by the template's own `raise_exception`; `failed` by a mistake of
            the template; `over_limit`; `forbidden` by the sandbox.
        text: what was rendered, or what the template said when it refused.
    """

    end: End
    text: str


class _RefusedError(TemplateError):
    """The template said no."""


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with a meter on what it calculates and calls."""

    intercepted_binops: Final = frozenset({"+", "-", "*", "/", "//", "%", "**"})  # type: ignore[misc]  # a variable upstream

    def __init__(self, meter: Meter) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=EXTENSIONS, optimized=False
        )
        self.meter = meter
        self.globals = {}
        self.filters |= _filters(meter)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate, unless the result could be large."""
        if operator == "%" and isinstance(left, str):
            raise SecurityError("format")
        if operator == "**":
            raise OverLimitError
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and isinstance(times, int):
                    size = weight(text) if not isinstance(text, str) else len(text)
                    if size * max(times, 0) > STRING_CHARS:
                        raise OverLimitError
        return self.meter.grown(super().call_binop(context, operator, left, right))

    def call(self, context: Context, called: Any, *args: Any, **kwargs: Any) -> Any:
        """Call, and count what comes back."""
        self.meter.charge(1)
        for argument in args:
            if isinstance(argument, str) and len(argument) > STRING_CHARS:
                raise OverLimitError
        owner = getattr(called, "__self__", None)
        if isinstance(owner, str) and called.__name__ in {"replace", "join"}:
            return self.meter.grown(_FOR_METHODS[called.__name__](self.meter, owner, *args))
        return self.meter.grown(super().call(context, called, *args, **kwargs))


class Renderer:
    """One template, ready to render any conversation.

    Raises:
        OverLimitError: the template cannot be compiled.
    """

    def __init__(self, template: Template, *, bos: str, eos: str) -> None:
        self._meter = Meter()
        self._environment = _Environment(self._meter)
        self._tokens = {"bos_token": bos, "eos_token": eos}
        # The rewriting is in place, and the other checks may still walk their tree.
        fresh = parse_template(template.name, template.text)
        if not isinstance(fresh, Template):
            raise OverLimitError
        untaken.mark_ways(fresh.tree)
        tree: nodes.Template = metering.metered(fresh.tree)
        tree.set_environment(self._environment)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                code = self._environment.compile(tree, "template", "template")
        except (SyntaxError, TemplateError, ValueError) as error:
            raise OverLimitError from error
        self._template = self._environment.template_class.from_code(
            self._environment, code, {}, None
        )

    @property
    def gone(self) -> frozenset[str]:
        """Ways of the template that renderings have taken."""
        return frozenset(self._meter.ways)

    def render(
        self,
        messages: list[Message],
        *,
        prompt: bool = True,
        now: datetime.datetime,
        thinking: bool = True,
        tools: list[dict[str, Any]] | None = None,
    ) -> Rendering:
        """Render a conversation, with the names that llama.cpp gives to a template (chat.cpp).

        Args:
            messages: the conversation; not changed.
            prompt: whether the beginning of an answer is asked for.
            now: what the template is told when it asks.
            thinking: `enable_thinking`, which the engine sets by itself.
            tools: descriptions of tools, or None.
        """
        self._meter.start()
        values = {
            "messages": messages,
            **({"tools": tools} if tools else {}),
            **({"add_generation_prompt": True} if prompt else {}),
            "enable_thinking": thinking,
            "datetime": now.strftime("%b %d %Y"),
            "date_string": now.strftime("%d %b %Y"),
            "raise_exception": _refuse,
            "strftime_now": _clock(now),
            "namespace": Namespace,
            "range": self._meter.numbers,
            "dict": dict,
            **self._tokens,
        }
        try:
            context = self._template.new_context(values)
            return Rendering("text", "".join(self._template.root_render_func(context)))
        except _RefusedError as refused:
            return Rendering("refused", str(refused.message)[:200])
        except (OverLimitError, RecursionError, MemoryError):
            return Rendering("over_limit", "")
        except SecurityError as error:
            mutation = any(f"attribute '{name}'" in str(error) for name in METHODS)
            return Rendering("failed" if mutation else "forbidden", "")
        except Exception:  # whatever a value of the wrong type makes Python raise
            return Rendering("failed", "")


def _refuse(message: object = "") -> None:
    raise _RefusedError(str(message)[:200])


def _clock(now: datetime.datetime) -> Callable[[str], str]:
    def strftime_now(form: str) -> str:
        if len(form) > PADDING:
            raise OverLimitError
        return now.strftime(form)

    return strftime_now


def _tojson(
    value: object,
    indent: int | None = None,
    *,
    ensure_ascii: bool = False,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    weight(value)
    if indent is not None and indent > PADDING:
        raise OverLimitError
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
        sort_keys=sort_keys,
    )  # fmt: skip


def _replace(meter: Meter, text: object, old: str, new: str, count: int | None = None) -> str:
    subject = meter.text(text)
    old, new = str(old), str(new)
    if (subject.count(old) + 1) * len(new) > STRING_CHARS:
        raise OverLimitError
    return subject.replace(old, new, -1 if count is None else count)


def _join(meter: Meter, values: Any, between: str = "", attribute: str | int | None = None) -> str:
    items = list(values)
    if attribute is not None:
        items = [one.get(attribute, "") if isinstance(one, dict) else "" for one in items]
    if len(items) * (len(str(between)) + 1) > STRING_CHARS:
        raise OverLimitError
    return str(between).join(meter.text(item) for item in items)


def _indent(
    meter: Meter, text: object, width: int | str = 4, *options: object, **named: object
) -> str:
    blank = width if isinstance(width, str) else " " * min(int(width), PADDING)
    first = bool(options[0] if options else named.get("first", False))
    lines = meter.text(text).split("\n")
    if len(lines) * len(blank) > STRING_CHARS:
        raise OverLimitError
    return (blank if first else "") + ("\n" + blank).join(lines)


def _bounded_list(values: Any) -> list[object]:
    kept: list[object] = []
    for value in values:
        kept.append(value)
        if len(kept) > CONTAINER_ITEMS * 8:
            raise OverLimitError
    return kept


_FOR_METHODS: Final[dict[str, Callable[..., str]]] = {
    "replace": _replace,
    "join": lambda meter, between, values: _join(meter, values, between),
}


def _late(counting: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that no compiler calculates, whose constants it could be given."""

    @pass_context
    def filtered(_: Context, *arguments: object) -> object:
        return counting(*arguments)

    return filtered


def _filters(meter: Meter) -> dict[str, Callable[..., Any]]:
    return {
        metering.TURNS: meter.turns,
        metering.CHARGE: _late(meter.charge),
        metering.GROWN: meter.grown,
        metering.EMIT: meter.emit,
        metering.CONCAT: meter.concat,
        untaken.GONE: _late(meter.gone),
        untaken.KEPT: _late(meter.kept),
        "tojson": _tojson,
        "from_json": json.loads,
        "string": meter.text,
        "replace": lambda *a, **k: _replace(meter, *a, **k),
        "join": lambda *a, **k: _join(meter, *a, **k),
        "indent": lambda *a, **k: _indent(meter, *a, **k),
        "list": _bounded_list,
    }
