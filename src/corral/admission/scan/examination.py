"""Examine one file, or a set of files that are one model, and say what was found.

Trust: scan jail. Must never print text of the file unescaped.
Input: untrusted files. Every failure, of whatever kind, is a report that rejects: fail closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from corral.admission.report import (
    FINDINGS,
    SCANNER,
    Facts,
    Finding,
    Kind,
    ProjectorFacts,
    Report,
    TemplateReport,
    make_report,
)  # fmt: skip
from corral.admission.scan.adapter import check_adapter
from corral.admission.scan.artifact import artifact_kind
from corral.admission.scan.base import Base, read_base
from corral.admission.scan.container import Container, parse_container
from corral.admission.scan.control_vector import check_control_vector
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.defaults import check_defaults
from corral.admission.scan.draft import check_draft
from corral.admission.scan.facts import gather_facts
from corral.admission.scan.formats import recognise
from corral.admission.scan.given_template import about_given, read_given
from corral.admission.scan.hyperparameters import check_rotation, read_hyperparameters
from corral.admission.scan.keys import check_keys
from corral.admission.scan.merge_plan import MergePlan
from corral.admission.scan.merging import plan_merge
from corral.admission.scan.places import placed, refused
from corral.admission.scan.projector import check_projector
from corral.admission.scan.request import ScanRequest
from corral.admission.scan.shapes import check_tensors
from corral.admission.scan.split import order_parts, read_part, tensors_of
from corral.admission.scan.tensors import Tensor, check_kinds
from corral.admission.scan.tokenizer import read_vocabulary
from corral.admission.scan.values import Values
from corral.admission.scan.weights import check_finite, check_padding
from corral.admission.template.examination import TEMPLATE_KEY, examine_templates, is_template

_PLAIN: Final = ScanRequest()


def scan_descriptor(
    fd: int,
    request: ScanRequest = _PLAIN,
    *,
    parts: Sequence[int] = (),
    model: int = -1,
    template: int = -1,
) -> Report:
    """Examine an open file.

    1. parse header, key-value pairs and tensor descriptions within bounds; the tensors' data fills
       the rest of the file; the `gguf` library must read the same
    2. join the parts of a set
    3. decide what the file is, and hold it against the rules of its kind, and against the model
       that it is for; examine its chat templates, which are programs
    4. look at the data: padding, numbers that are none, and whether it is another format as well

    Args:
        fd: the file.
        request: what is asked.
        parts: the other files of a set, called `request.parts`.
        model: the model that the file is for; -1 for none.
        template: text that is served in place of the model's own template; -1 for none.
    """
    first: Container | None = None
    try:
        first = parse_container(fd)  # 1
        given = None if template < 0 else read_given(template)
        report = _scan(first, request, parts, model, given)
        alone = None if parts else first
        return msgspec.structs.replace(report, findings=placed(report.findings, alone))
    except ScanRefusal as refusal:
        if parts:
            # It may be about any of the files.
            refusal.place, first = None, None
        finding = refused(refusal, _escape(refusal.where), first)
        return make_report((finding, *_other_formats(fd)), None, SCANNER)
    except MemoryError:
        return rejected("resource_limit", "the file needs more memory than a scan may use")
    except Exception:
        return rejected("scanner_error", "the scanner failed on this file")


def merge_descriptors(fd: int, request: ScanRequest, parts: Sequence[int]) -> MergePlan | Report:
    """Say how the parts of a model become one file, or why they do not.

    What the file is, and its weights, are for the scan of that file; what would be lost in it is
    looked at here: padding of the parts, and whether one of them is another format as well.

    Args:
        fd: one part.
        request: its name, and those of the others.
        parts: the others.
    """
    try:
        files = [
            (name, parse_container(one))
            for name, one in zip((request.name, *request.parts), (fd, *parts), strict=True)
        ]
        ordered = order_parts(files)
        for part in ordered:
            check_padding(part.fd, part.tensors, part.metadata_bytes)
        found = [finding for part in ordered for finding in recognise(part.fd)]
        if any(finding.severity != "info" for finding in found):
            return make_report(bounded(found), None, SCANNER)
        return plan_merge(ordered)
    except ScanRefusal as refusal:
        refusal.place = None  # it may be about any of the files
        return make_report((refused(refusal, _escape(refusal.where), None),), None, SCANNER)
    except MemoryError:
        return rejected("resource_limit", "the files need more memory than a scan may use")
    except Exception:
        return rejected("scanner_error", "the scanner failed on these files")


def rejected(code: str, message: str) -> Report:
    """Return the report of a scan that ends by one finding."""
    return make_report((Finding(code, "reject", message),), None, SCANNER)


def bounded(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return as many findings as a report holds: the worst, and a flag that others are left out.

    Else a file could crowd out what is wrong with it by remarks that let it pass.
    """
    if len(findings) <= FINDINGS:
        return tuple(findings)
    worst = sorted(findings, key=lambda f: ("reject", "flag", "info").index(f.severity))
    message = f"{len(findings)} findings are more than a report holds; the worst are listed"
    return (*worst[: FINDINGS - 1], Finding("findings_cut", "flag", message))


def _scan(
    first: Container,
    request: ScanRequest,
    others: Sequence[int],
    model: int,
    given: str | None,
) -> Report:
    parts: tuple[Container, ...] = (first,)
    # 2
    if others:
        further = zip(request.parts, map(parse_container, others), strict=True)
        parts = order_parts([(request.name, first), *further])
    elif read_part(first.values) is not None:
        raise ScanRefusal("split", "the file is one part of a model; a part alone is not served")
    values, tensors = parts[0].values, tensors_of(parts)
    # 3
    kind = artifact_kind(values, tensors)
    check_kinds(tensors)
    findings = [*check_keys(values), *check_defaults(values)]
    base = read_base(model, request.companion, kind)
    facts: Facts | None = None
    template: TemplateReport | None = None
    projector: ProjectorFacts | None = None
    if kind == "model":
        facts, remarks, template = _examine_model(parts[0], tensors, base, given)
        findings += remarks
    elif given is not None:
        raise ScanRefusal("artifact_type", "only a model has a chat template")
    else:
        remarks, projector = _examine_addition(kind, values, tensors, base, request.scale)
        findings += remarks
    # 4
    for part in parts:
        check_padding(part.fd, part.tensors, part.metadata_bytes)
        findings += recognise(part.fd)
    findings += check_finite([(part.fd, part.tensors) for part in parts], deep=request.deep)
    return make_report(bounded(findings), facts, SCANNER, kind, template, projector)


def _examine_model(
    container: Container, tensors: tuple[Tensor, ...], target: Base | None, given: str | None
) -> tuple[Facts, tuple[Finding, ...], TemplateReport]:
    values = container.values
    vocabulary = read_vocabulary(values)
    sizes = read_hyperparameters(values)
    check_tensors(tensors, sizes, len(vocabulary.tokens))
    check_rotation(values, sizes)
    texts = {key: values.text(key, "") for key in values if is_template(key)}
    findings, template = examine_templates(
        texts if given is None else {TEMPLATE_KEY: given},
        control_tokens=vocabulary.control, bos=vocabulary.bos, eos=vocabulary.eos,
    )  # fmt: skip
    if given is not None:
        findings = about_given(findings)
    remarks = [*vocabulary.remarks, *findings]
    if target is not None:
        remarks += check_draft((values, vocabulary), (target.values, target.vocabulary))
    facts = gather_facts(container.metadata, sizes, vocabulary, tensors)
    return facts, tuple(remarks), template


def _examine_addition(
    kind: Kind, values: Values, tensors: tuple[Tensor, ...], base: Base | None, scale: float
) -> tuple[tuple[Finding, ...], ProjectorFacts | None]:
    projector: ProjectorFacts | None = None
    if kind == "adapter":
        check_adapter(values, tensors, base, scale)
    elif kind == "projector":
        projector = check_projector(values, tensors, base)
    else:
        check_control_vector(values, tensors, base)
    # It needs none; but some other reader may take the one that is there.
    templates = {key: values.text(key, "") for key in values if is_template(key)}
    found: tuple[Finding, ...] = ()
    if templates:
        found = (*examine_templates(templates, control_tokens=(), bos="", eos="")[0],)
    if base is not None:
        return found, projector
    message = "the file was not held against the model that it is for: --base MODEL"
    return (*found, Finding("base_unknown", "info", message)), projector


def _other_formats(fd: int) -> tuple[Finding, ...]:
    try:
        return recognise(fd)
    except OSError:
        return ()


def _escape(raw: bytes) -> str:
    return raw[:64].decode("ascii", "backslashreplace").encode("unicode_escape").decode()[:160]
