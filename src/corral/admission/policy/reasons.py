"""Say in sentences what spoke for a model, and what a rule misses.

Trust: operator side; pure. Input: established facts; words of the operator's own policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from corral.admission.policy.subject import Subject

_SHOWN = 5
_NAMES = {
    "sources": "a source of",
    "digests": "a file with one of the digests",
    "evidence": "one of these to be demanded:",
    "signers": "a signature by",
    "licences": "a licence of",
    "architectures": "an architecture of",
    "templates": "a chat template that is",
    "size_bytes_max": "bytes of at most",
    "parameters_max": "parameters of at most",
    "memory_bytes_max": "bytes of memory for a worker of at most",
}


def evidence_reasons(subject: Subject) -> Iterator[str]:
    """Yield what was demanded of the bytes; one sentence if it was nothing."""
    if "sha256" in subject.evidence:
        yield "The operator demanded this sha256 of the file."
    if "wheel_sha256" in subject.evidence:
        yield "The operator demanded the sha256 of the wheel that the file came in."
    if "manifest_sha256" in subject.evidence:
        yield "The operator demanded the sha256 of the registry's manifest that names it."
    for signer in subject.signers:
        who = signer.name or signer.identity or "a key that the operator gave"
        yield f"Signed by {who} ({signer.kind}, {signer.fingerprint})."
    if not subject.evidence:
        yield "Nothing was demanded: neither digest nor signature; anybody made it."


def unmet(conditions: Mapping[str, object]) -> str:
    """Return what is missing, e.g. `a licence of mit, apache-2.0 and bytes of at most 5`."""
    return " and ".join(f"{_NAMES[name]} {_listed(value)}" for name, value in conditions.items())


def _listed(value: object) -> str:
    if not isinstance(value, tuple):
        return f"{value:,}"
    more = ", …" if len(value) > _SHOWN else ""
    return ", ".join(map(str, value[:_SHOWN])) + more
