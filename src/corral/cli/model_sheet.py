"""What `corral show` says of a model: groups of names and values for a person to read.

Trust: operator side; pure. Input: a verified receipt; its texts of model files and servers are
untrusted and left as they are: `terminal` prints them without control characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from corral.cli.terminal import size_text

if TYPE_CHECKING:
    from corral.admission.estimate import Estimate
    from corral.admission.receipt import Receipt
    from corral.admission.trial import TrialRecord

Facts = list[tuple[str, object]]

_TEMPLATES = {
    "known": "the file's own, known as good",
    "passed": "the file's own, passed every check",
    "replaced": "the file's own was refused; a built-in takes its place",
    "absent": "the file has none: no chat is served",
}


def model_sheet(receipt: Receipt) -> Iterator[tuple[str, Facts]]:
    """Yield each group's title and facts; facts without a value are left out."""
    groups = (
        ("identity", _identity(receipt)),
        ("source", _source(receipt)),
        ("trust", _trust(receipt)),
        ("findings", _findings(receipt)),
        ("chat template", _template(receipt)),
        *_laid(receipt),
        ("resources", _resources(receipt)),
        ("admission", _admission(receipt)),
    )
    for title, facts in groups:
        yield title, [(name, value) for name, value in facts if value not in {"", None}]


def _identity(receipt: Receipt) -> Facts:
    return [
        ("name", receipt.name),
        ("sha256", receipt.digest),
        ("identity", receipt.identity if receipt.derivation else ""),
        ("size", f"{size_text(receipt.size_bytes)} ({receipt.size_bytes:,} bytes)"),
        ("architecture", receipt.architecture),
        ("licence", receipt.licence and f"{receipt.licence}, as the file says"),
        ("parameters", f"{receipt.parameters:,} in {receipt.block_count} blocks"),
        ("quantisation", receipt.quantisation),
        (
            "vocabulary",
            f"{receipt.vocabulary_tokens:,} tokens, {len(receipt.control_tokens):,} of control",
        ),
    ]


def _source(receipt: Receipt) -> Facts:
    return [
        ("derived from", receipt.derivation.base if receipt.derivation else ""),
        ("source", receipt.source),
        ("redirected to", receipt.final_url if receipt.final_url != receipt.source else ""),
        ("revision", receipt.revision),
        ("wheel", receipt.wheel_sha256 and f"sha256 {receipt.wheel_sha256}"),
        ("manifest", receipt.manifest_sha256 and f"sha256 {receipt.manifest_sha256}"),
        *(
            ("part", f"{one.name}, {one.size_bytes:,} bytes, sha256 {one.sha256}")
            for one in receipt.parts
        ),
        *(("beside it", f"{one.media_type} {one.title}") for one in receipt.layers),
        ("fetched", _time(receipt.fetched_at)),
        ("asked for", receipt.asked_source),
    ]


def _trust(receipt: Receipt) -> Facts:
    decision = receipt.decision
    allowed = decision.allowance
    held = decision.outcome == "hold"
    facts: Facts = [("level", "held back: nobody may use it" if held else receipt.trust)]
    facts += [("why", reason) for reason in decision.reasons]
    facts += [
        ("policy", f"{decision.policy} (sha256 {decision.policy_sha256})"),
        ("rule", decision.rule or "none"),
        ("decided", _time(decision.decided_at)),
        ("tier", f"at least {allowed.tier}" if allowed.tier else ""),
        ("tenants", "" if "*" in allowed.tenants else ", ".join(allowed.tenants) or "none"),
        ("context", _at_most(allowed.context_tokens_max, "tokens")),
        ("answer", _at_most(allowed.answer_tokens_max, "tokens")),
        ("at once", _at_most(allowed.parallel_max, "requests for one worker")),
        ("memory", _at_most(allowed.memory_bytes_max, "bytes for one worker")),
    ]
    for signer in receipt.signers:
        facts.append(("signed as", signer.signed_name))
        facts.append(("signature file", f"sha256 {signer.bundle_sha256}"))
    return facts


def _findings(receipt: Receipt) -> Facts:
    if not receipt.findings:
        return [("none", "the scanner had nothing to say against the file")]
    return [
        (one.severity, f"{one.code}{' at ' if one.where else ''}{one.where}: {one.message}")
        for one in receipt.findings
    ]


def _template(receipt: Receipt) -> Facts:
    template, derivation = receipt.template, receipt.derivation
    meaning = _TEMPLATES[template.outcome]
    if derivation is not None and derivation.template_sha256:
        meaning = meaning.replace("the file's own", "given by the operator")
    return [
        ("outcome", f"{template.outcome}: {meaning}"),
        ("name", template.name),
        ("sha256", template.sha256),
        (
            "in the file",
            template.found_sha256 if template.found_sha256 != template.sha256 else "",
        ),
    ]


def _laid(receipt: Receipt) -> Iterator[tuple[str, Facts]]:
    derivation = receipt.derivation
    if derivation is None or derivation.laid is None:
        return
    laid, adapter = derivation.laid, derivation.adapter
    facts: Facts = [
        ("sha256", laid.digest),
        ("size", f"{size_text(laid.size_bytes)} ({laid.size_bytes:,} bytes)"),
        ("scale", f"{adapter.scale / 1000:g}" if adapter else ""),
        ("takes", ", ".join(sorted(receipt.modalities))),
        ("source", laid.source),
        ("redirected to", laid.final_url if laid.final_url != laid.source else ""),
        ("revision", laid.revision),
        ("fetched", _time(laid.fetched_at)),
        *(("signed as", signer.signed_name) for signer in laid.signers),
        *((one.severity, f"{one.code}: {one.message}") for one in laid.findings),
    ]
    yield "adapter" if adapter else "projector", facts


def _resources(receipt: Receipt) -> Facts:
    context = receipt.context_train_tokens
    return [
        ("context", f"{context:,} tokens, as trained"),
        *estimate_facts(receipt.estimate),
    ]


def estimate_facts(estimate: Estimate) -> Facts:
    """Return the parts of an estimate; parts of nothing are left out."""
    parts = {
        "repacked weights": estimate.repacked_bytes,
        "KV cache": estimate.kv_cache_bytes,
        "recurrent state": estimate.state_bytes,
        "checkpoints": estimate.checkpoints_bytes,
        "vocabulary": estimate.vocabulary_bytes,
        "logits": estimate.output_bytes,
        "compute buffers": estimate.compute_bytes,
        "engine": estimate.engine_bytes,
        "adapter": estimate.adapter_bytes,
        "projector and images": estimate.projector_bytes,
    }
    load = f"for {estimate.parallel} times {estimate.context_tokens:,} tokens of context"
    return [
        ("a worker", f"{size_text(estimate.total_bytes)} {load}"),
        ("mapped weights", f"{size_text(estimate.weights_bytes)}, shared by all workers"),
        ("mapped program", f"{size_text(estimate.program_bytes)}, likewise"),
        ("private", size_text(estimate.private_bytes)),
        *((f"  {name}", size_text(number)) for name, number in parts.items() if number),
    ]


def _admission(receipt: Receipt) -> Facts:
    return [
        ("admitted", _time(receipt.admitted_at)),
        (
            "from the store",
            "yes: an earlier admission fetched, scanned and tried it"
            if receipt.readmitted_from_store
            else "",
        ),
        ("scanner", receipt.scanner),
        ("procedure", receipt.procedure),
        ("trial load", receipt.engine or "passed; the engine did not say what it is"),
        *_trial(receipt.trial),
        ("receipt", "signature verified just now"),
    ]


def _at_most(limit: int | None, what: str) -> str:
    return "" if limit is None else f"at most {limit:,} {what}"


def _trial(trial: TrialRecord | None) -> Facts:
    if trial is None:
        return []
    size = f"{size_text(trial.private_bytes)} private" if trial.private_bytes else "not counted"
    speed = (
        f"{trial.prompt_tokens_per_s:.0f} tokens/s of prompt, "
        f"{trial.answer_tokens_per_s:.0f} of answer"
    )
    return [
        ("  loaded in", f"{trial.load_ms} ms"),
        ("  speed", f"{speed} (in that moment)"),
        ("  memory", f"{size}; estimated {size_text(trial.estimated_bytes)}"),
        ("  control tokens", f"{trial.control_tokens} looked at, each one token"),
    ]


def _time(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
