"""The error that crosses corral's borders: a stable code, a public message and a remedy.

Trust: any zone. A `CorralError` message is public: never put paths of the server, prompt text,
key material or engine output into it; such detail belongs to the log under the request id.
Input: trusted (raised by our own code).

Decisions (deny, over limit, finding, outcome) are values, not exceptions; this class is for what
cannot go on.
"""

from __future__ import annotations


class CorralError(Exception):
    """A failure with a stable, documented code.

    Attributes:
        code: lower-case slug such as `hash_mismatch`; stable for scripts.
        message: what happened and why, for the person who asked.
        remedy: what that person can do about it; empty when there is nothing.
    """

    def __init__(self, code: str, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.remedy = remedy


class ConfigError(CorralError):
    """The configuration is not usable; corral refuses to start."""


class SandboxError(CorralError):
    """A jail could not be set up as its policy demands; nothing was started."""


class IpcError(CorralError):
    """A frame between zones broke the protocol; the peer is not trusted further."""
