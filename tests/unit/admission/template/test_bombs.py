"""Templates that would use up an engine: refused, each within the bounds of time and memory.

Each runs in a process of its own, whose peak memory and processor time are measured. The rows of
research/artifacts.md, section 3a, and what only the renderer's meter stops.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from corral.admission.template.limits import CPU_S, TEXT_BYTES
from tests.unit.admission.template.test_analysis import LOOP

_MIB = 1 << 20
_MEMORY = 256 * _MIB
_SLACK_S = 3.0
"""Imports and parsing, on a busy machine."""
_ANALYSE = """
import json, sys, time
from corral.admission.template.analysis import analyse_template
text = sys.stdin.buffer.read().decode()
before = time.process_time()
found = analyse_template("t", text, control_tokens=("<s>",), bos="<s>", eos="</s>")
print(json.dumps([
    sorted({f.code for f in found if f.severity != "info"}),
    time.process_time() - before,
    next(int(li.split()[1]) for li in open("/proc/self/status") if li.startswith("VmHWM")) * 1024,
]))
"""

UPSTREAM = {  # research/artifacts.md, section 3a
    "range(1e9)": "{% for i in range(1000000000) %}x{% endfor %}",
    "nested loops of 1e8": (
        "{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}"
    ),
    "'A' * 3e9": "{{ 'A' * 3000000000 }}",
    "doubling to 2^44": (
        "{% set ns = namespace(s='A') %}{% for i in range(44) %}{% set ns.s = ns.s ~ ns.s %}"
        "{% endfor %}{{ ns.s }}"
    ),
    "a macro that calls itself": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "6000 parentheses": "{{ " + "(" * 6000 + "1" + ")" * 6000 + " }}",
    "divisibleby(0)": "{% if 1 is divisibleby(0) %}x{% endif %}",
    "SSTI by classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "SSTI by globals": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "SSTI by a name put together": "{{ ''['__cla' ~ 'ss__'] }}",
    "SSTI by the attr filter": "{{ messages | attr('__class__') }}",
    "SSTI by format": "{{ '{0.__class__}'.format(messages) }}",
}
METERED = {
    "loops within loops over the conversation": (
        "{% for a in messages %}" * 6 + "{{ messages }}" + "{% endfor %}" * 6
    ),
    "a list of itself": (
        "{% set ns = namespace(l=[1]) %}{% for a in messages %}{% for b in messages %}"
        "{% for c in range(30) %}{% set ns.l = [ns.l, ns.l[0]] %}{% endfor %}{% endfor %}"
        "{% endfor %}{{ ns.l }}"
    ),
    "a text that grows by replacing": (
        "{% set ns = namespace(s='aaaaaaaa') %}{% for a in range(60) %}"
        "{% set ns.s = ns.s.replace('a', 'aa') %}{% endfor %}{{ ns.s }}"
    ),
    "a text that grows by joining": (
        "{% set ns = namespace(s='ab') %}{% for a in range(60) %}"
        "{% set ns.s = ns.s | join(ns.s) %}{% endfor %}{{ ns.s }}"
    ),
    "characters of characters": (
        "{% for m in messages %}{% for a in m.content %}{% for b in m.content %}"
        "{% for c in m.content %}{{ a }}{% endfor %}{% endfor %}{% endfor %}{% endfor %}"
    ),
    "macros that call each other twice": "".join(
        f"{{% macro m{n}() %}}{{{{ m{n + 1}() }}}}{{{{ m{n + 1}() }}}}{{% endmacro %}}"
        for n in range(40)
    ) + "{% macro m40() %}x{% endmacro %}{{ m0() }}",
    "a wide sort": "{{ (messages | tojson | list | sort | unique | list) * 1000 }}",
    "indents": "{{ (messages | tojson(indent=256)) | indent(256) | indent(256) | indent(256) }}",
    "padding": "{{ 'x'.center(2000000000) }}",
    "powers": "{{ 9 ** 9 ** 9 ** 9 }}",
}  # fmt: skip
LONG = {
    "as much text as is read": LOOP + "{# " + "x" * (TEXT_BYTES - len(LOOP) - 6) + " #}",
    "as many prints as are read": "{{ x }}" * (TEXT_BYTES // 7),
    "one long name": "{{ " + "a" * (TEXT_BYTES - 6) + " }}",
    "one long text": "{{ '" + "\\u0041" * (TEXT_BYTES // 6 - 2) + "' }}",
    "a text that is too long": "x" * (TEXT_BYTES + 1),
    "filters on filters": "{{ x" + "|trim" * 20_000 + " }}",
    "dots on dots": "{{ x" + ".a" * 60_000 + " }}",
    "signs": "{{ " + "-" * 100_000 + "1 }}",
    "conditions": "{{ " + "1 if 1 else " * 10_000 + "1 }}",
    "blocks": "{% if x %}" * 10_000 + "{% endif %}" * 10_000,
    "comments that do not end": "{#" * 60_000,
    "a number": "{{ " + "9" * 200_000 + " }}",
}


def measured(text: str) -> tuple[set[str], float, int]:
    done = subprocess.run(
        [sys.executable, "-c", _ANALYSE], input=text.encode(), capture_output=True, timeout=60,
        check=True, env={},  # not measured for coverage, which would need memory of its own
    )  # fmt: skip
    codes, cpu_s, peak = json.loads(done.stdout)
    return set(codes), cpu_s, peak


@pytest.mark.claim("TPL-04")
@pytest.mark.parametrize("text", UPSTREAM.values(), ids=UPSTREAM)
def test_what_kills_engines_is_refused_and_costs_little(text: str) -> None:
    codes, cpu_s, peak = measured(LOOP + text)
    assert codes & {"template_dos", "template_ssti"}
    assert cpu_s < 1
    assert peak < _MEMORY


@pytest.mark.claim("TPL-04")
@pytest.mark.parametrize("text", METERED.values(), ids=METERED)
def test_what_grows_with_the_conversation_is_refused_within_the_bounds(text: str) -> None:
    codes, cpu_s, peak = measured(LOOP + text)
    assert codes
    assert cpu_s < CPU_S + _SLACK_S
    assert peak < _MEMORY


@pytest.mark.claim("TPL-04")
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_texts_stay_within_the_bounds(text: str) -> None:
    _, cpu_s, peak = measured(text)
    assert cpu_s < CPU_S + _SLACK_S
    assert peak < _MEMORY


def test_the_measure_sees_what_is_used() -> None:
    codes, cpu_s, peak = measured(LOOP)
    assert codes == set()
    assert 0 < cpu_s < CPU_S
    assert peak > 10 * _MIB
