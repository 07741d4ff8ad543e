from __future__ import annotations

from corral.core.errors import ConfigError, CorralError, IpcError, SandboxError


def test_an_error_carries_code_message_and_remedy() -> None:
    error = SandboxError("a_code", "what happened", remedy="do this")
    assert (error.code, error.message, error.remedy) == ("a_code", "what happened", "do this")
    assert str(error) == "a_code: what happened"
    assert CorralError("a", "b").remedy == ""
    assert issubclass(ConfigError, CorralError)
    assert issubclass(IpcError, CorralError)
