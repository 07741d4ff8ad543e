"""Which template an engine gets: known, passed, replaced or none; never on a job's word alone."""

from __future__ import annotations

import datetime
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from corral.admission.report import TemplateReport
from corral.admission.template.analysis import analyse_template
from corral.admission.template.builtin_templates import (
    BUILT_INS,
    built_in_text,
    fitting_built_in,
)
from corral.admission.template.choice import choose_template
from corral.admission.template.examination import examine_templates
from corral.admission.template.known import KnownTemplate, known_template, nearest_template
from corral.admission.template.normal import normalised, template_digest
from corral.admission.template.renderer import Renderer
from corral.admission.template.syntax import Template, parse_template
from tests.unit.admission.template.test_analysis import CONTROL, LOOP

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The demo model's."""
HOSTILE = LOOP + "{{ ''.__class__ }}"
KEY = "tokenizer.chat_template"


def test_the_catalogue_is_what_the_page_says() -> None:
    raw = files("corral.admission.template").joinpath("known_templates.json").read_bytes()
    entries = msgspec.json.decode(raw, type=list[KnownTemplate])
    assert [entry.sha256 for entry in entries] == sorted({entry.sha256 for entry in entries})
    assert all(entry.family and entry.licence and entry.source for entry in entries)
    reviewed = sum(bool(entry.review) for entry in entries)
    page = (Path(__file__).parents[4] / "docs" / "templates.md").read_text(encoding="utf-8")
    assert f"the catalogue of {len(entries)} upstream templates" in page
    assert f"and {reviewed} that were read" in page


def examined(text: str, control: tuple[str, ...] = CONTROL) -> TemplateReport:
    return examine_templates({KEY: text}, control_tokens=control, bos="<s>", eos="</s>")[1]


@pytest.mark.claim("TPL-02")
def test_a_template_of_the_catalogue_is_known() -> None:
    for text in (SMOLLM2, SMOLLM2 + "\n", SMOLLM2.replace("\n", "\r\n")):
        served = choose_template(examined(text), replacing=False)
        assert served is not None
        assert (served.outcome, served.text) == ("known", SMOLLM2)
        assert served.sha256 == served.found_sha256 == template_digest(SMOLLM2)


@pytest.mark.claim("TPL-02")
def test_one_changed_character_is_another_template() -> None:
    changed = SMOLLM2.replace("SmolLM", "SmolLN")
    assert known_template(template_digest(changed)) is None
    assert examined(changed).outcome == "passed"
    assert examined(SMOLLM2 + "\n\n").outcome == "passed"


@pytest.mark.claim("TPL-02")
def test_what_passes_is_served_as_it_is() -> None:
    served = choose_template(examined(LOOP), replacing=True)
    assert served is not None
    assert (served.outcome, served.name, served.text) == ("passed", "", normalised(LOOP))


@pytest.mark.claim("TPL-02")
def test_what_fails_is_refused_or_replaced() -> None:
    report = examined(HOSTILE)
    assert report.outcome == "refused"
    assert report.text == ""
    assert choose_template(report, replacing=False) is None
    served = choose_template(report, replacing=True)
    assert served is not None
    assert (served.outcome, served.name) == ("replaced", "chatml")
    assert served.text == built_in_text("chatml")
    assert served.found_sha256 == template_digest(HOSTILE) != served.sha256


@pytest.mark.claim("TPL-02")
def test_a_vocabulary_that_fits_no_family_gets_no_built_in() -> None:
    report = examined(HOSTILE, ("<s>", "</s>"))
    assert choose_template(report, replacing=True) is None
    assert choose_template(replace(report, built_in="../passwd"), replacing=True) is None


@pytest.mark.claim("TPL-02")
@pytest.mark.parametrize(
    "lie",
    [
        TemplateReport("known", sha256=template_digest(SMOLLM2), text=HOSTILE),
        TemplateReport("known", sha256=template_digest(HOSTILE), text=HOSTILE),
        TemplateReport("passed", sha256=template_digest(LOOP), text=HOSTILE),
        TemplateReport("passed", sha256=template_digest(""), text=""),
        TemplateReport("passed", sha256=template_digest(LOOP), text=LOOP + "\n"),
    ],
)
def test_a_lie_of_the_scan_job_is_refused(lie: TemplateReport) -> None:
    assert choose_template(lie, replacing=True) is None


def test_a_model_without_a_template_gets_one_that_no_chat_reaches() -> None:
    findings, report = examine_templates({}, control_tokens=CONTROL, bos="", eos="")
    assert not findings
    served = choose_template(report, replacing=False)
    assert served is not None
    assert (served.outcome, served.found_sha256) == ("absent", "")


def test_named_templates_are_examined_and_never_served() -> None:
    findings, report = examine_templates(
        {KEY: LOOP, f"{KEY}.tool_use": HOSTILE}, control_tokens=CONTROL, bos="", eos=""
    )
    assert {f.code for f in findings if f.severity != "info"} == {"template_ssti"}
    assert (report.outcome, report.text) == ("passed", normalised(LOOP))


@pytest.mark.claim("TPL-02")
@pytest.mark.parametrize("built_in", BUILT_INS, ids=lambda one: one.name)
def test_each_built_in_passes_and_is_chosen_by_its_tokens(built_in) -> None:
    text = built_in_text(built_in.name)
    tokens = tuple(sorted(built_in.needs))
    assert fitting_built_in(tokens, " ".join(built_in.mentions)) == built_in.name
    assert fitting_built_in(tokens[1:], " ".join(built_in.mentions)) == ""
    found = analyse_template("t", text, control_tokens=tokens, bos="<s>", eos="</s>")
    assert {finding.severity for finding in found} <= {"info"}
    template = parse_template("t", text)
    assert isinstance(template, Template)
    said = [("system", "be kind"), ("user", "one"), ("assistant", "two"), ("user", "three")]
    rendering = Renderer(template, bos="<s>", eos="</s>").render(
        [{"role": role, "content": content} for role, content in said],
        now=datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC),
    )
    assert rendering.end == "text"
    places = [rendering.text.index(content) for _, content in said]
    assert places == sorted(places)


def test_the_difference_to_the_nearest_is_told_without_control_characters() -> None:
    lines = SMOLLM2.replace("{%", "\n{%")
    assert nearest_template("nothing like it") is None
    near = nearest_template(SMOLLM2 + "\n{{ '\x1b[31m\u202eSend it\u200b' }}")
    assert near is not None
    assert near.name.startswith("SmolLM2")
    assert near.added == ("{{ '\\x1b[31m\\u202eSend it\\u200b' }}",)
    assert near.missing == 0
    far = nearest_template(SMOLLM2 + "\n" + "\n".join(f"{{# {n} #}}" + "x" * 500 for n in range(6)))
    assert far is None or all(len(line) <= 160 for line in far.added)
    assert lines
