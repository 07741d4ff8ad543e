"""The template of receipts in tests, and of workers that have no engine."""

from __future__ import annotations

from corral.admission.report import TemplateReport
from corral.admission.template.choice import ServedTemplate
from corral.admission.template.normal import template_digest

TEXT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
PASSED = TemplateReport("passed", sha256=template_digest(TEXT), text=TEXT)
SERVED = ServedTemplate("passed", "", template_digest(TEXT), template_digest(TEXT), TEXT)
