"""What the operator demands of a model's bytes before anything looks into them.

Trust: operator side; no I/O. Input: command-line options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corral.admission.policy.subject import Evidence, evidence_of
from corral.core.ids import Digest, parse_digest


@dataclass(frozen=True, slots=True)
class Expectation:
    """Digests that must match; None demands nothing.

    Attributes:
        sha256: digest of the model file.
        wheel_sha256: digest of the wheel around it (`pypi://` only).
        parts: digests of the files of a model in several, in their order; empty demands nothing.
        manifest_sha256: digest of the registry's manifest that names it (`ollama://`, `oci://`).
    """

    sha256: Digest | None = None
    wheel_sha256: Digest | None = None
    manifest_sha256: Digest | None = None
    parts: tuple[Digest, ...] = ()

    def evidence(self, *, signature: bool) -> frozenset[Evidence]:
        """Return what these demands are to a policy, once they are met; and a signature."""
        return evidence_of(
            sha256=self.sha256 is not None or bool(self.parts),
            wheel_sha256=self.wheel_sha256 is not None,
            manifest_sha256=self.manifest_sha256 is not None,
            signature=signature,
        )

    @classmethod
    def parse(
        cls,
        *,
        sha256: str | None = None,
        wheel_sha256: str | None = None,
        parts: Sequence[str] = (),
    ) -> Expectation:
        """Return the expectation that options describe.

        Raises:
            CorralError: code `bad_digest`.
        """
        return cls(
            sha256=None if sha256 is None else parse_digest(sha256),
            wheel_sha256=None if wheel_sha256 is None else parse_digest(wheel_sha256),
            parts=tuple(map(parse_digest, parts)),
        )
