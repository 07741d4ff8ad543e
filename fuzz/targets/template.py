"""Texts of chat templates: whatever they are, findings come back within bounds of time and memory.

No exception escapes, no check fails by itself (`template_error`), and every finding can be shown.
"""

from __future__ import annotations

import time

from corral.admission.report import encode_report, make_report, parse_report
from corral.admission.template.analysis import analyse_template
from corral.admission.template.limits import CPU_S
from fuzz.target import Target

_SLACK_S = 4.0
"""For parsing and reading, and for instrumented code."""
_CONTROL = ("<|im_start|>", "<|im_end|>", "<s>", "</s>")
_LOOP = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% endif %}"
)

_OTHERS = (
    _LOOP + "{% if '</think>' in messages[-1].content %}{{ 'x' }}{% endif %}",
    "{% macro a(x) %}{% for y in x.z|items %}{{ a(y[1]) }}{% endfor %}{% endmacro %}",
    """{% set ns = namespace(n=0, s='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}
{% set ns.s = ns.s ~ m.content|trim %}{% endfor %}{{ ns.s[1:] | tojson(indent=2) }}""",
    """{{ bos_token }}{%- for m in messages if m.role != 'system' -%}{% break %}{% continue %}
{{ m['content'].split('<a>')[-1] | replace('b', 'c') | indent(4) }}{%- endfor -%}
{{ strftime_now('%Y') }}{{ raise_exception('no') }}""",
    """{% call(x) y(1) %}{{ x ** 2 // 3 % 4 }}{% endcall %}{% filter upper %}a{% endfilter %}
{% generation %}{{ (1, [2], {'a': 3}) | list | join(',') }}{% endgeneration %}""",
    "{{ ''.__class__.__mro__ }}{{ 'a' * 99999999 }}{{ range(9999999999) | list }}",
)


def check(data: bytes) -> None:
    """Analyse, and bring the findings through the report."""
    began_s = time.process_time()
    findings = analyse_template(
        "tokenizer.chat_template", data.decode("utf-8", "replace"),
        control_tokens=_CONTROL, bos="<s>", eos="</s>",
    )  # fmt: skip
    if time.process_time() - began_s > CPU_S + _SLACK_S:
        raise AssertionError("the analysis takes longer than it may")
    if any(finding.code == "template_error" for finding in findings):
        raise AssertionError("the analysis itself failed")
    report = make_report(findings, None, "s 1")
    if parse_report(encode_report(report)) != report:
        raise AssertionError("a finding cannot be shown")


TARGET = Target(
    "template",
    check,
    tuple(text.encode() for text in (_LOOP, *_OTHERS)),
)
