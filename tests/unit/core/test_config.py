"""Every wrong setting is an error with a code; nothing weakens silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from corral.core.config import Config, Sandbox, load_config, override_config, parse_config
from corral.core.errors import ConfigError


def refused(document: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(document)
    return caught.value.code


def test_a_missing_file_means_every_default(tmp_path: Path) -> None:
    assert load_config(tmp_path / "none.toml") == Config()


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "corral.toml"
    file.write_text('[listen]\nport = 1\nnames = ["a"]\n[sandbox]\nallow_degraded = ["mdwe"]\n')
    config = load_config(file)
    assert (config.listen.port, config.listen.names) == (1, ("a",))
    assert config.sandbox == Sandbox(allow_degraded=("mdwe",))


def test_tables_with_names_are_kept_for_whoever_reads_them() -> None:
    table = {"alice": {"kind": "key"}}
    assert parse_config({"trust": {"signers": table}}).trust.signers == table


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"[listen", "config_syntax"), (b"\xff", "config_unreadable")],
)
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes, code: str) -> None:
    file = tmp_path / "corral.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert caught.value.code == code


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert caught.value.code == "config_unreadable"


@pytest.mark.parametrize(
    "document",
    [{"lisen": {}}, {"listen": {"prot": 1}}, {"engine": {"parallel": 1, "slots": 1}}],
)
def test_unknown_keys(document: dict[str, Any]) -> None:
    assert refused(document) == "config_unknown_key"


@pytest.mark.parametrize(
    "document",
    [
        {"listen": 1},
        {"listen": {"port": "1"}},
        {"listen": {"port": True}},
        {"listen": {"port": 1.0}},
        {"listen": {"names": "a"}},
        {"listen": {"names": ["a", 1]}},
        {"tls": {"cert_file": 1}},
        {"trust": {"signers": []}},
        {"trust": {"signers": {"alice": "key"}}},
    ],
)
def test_wrong_types(document: dict[str, Any]) -> None:
    assert refused(document) == "config_type"


@pytest.mark.parametrize(
    "document",
    [
        {"listen": {"port": 65536}},
        {"listen": {"port": -1}},
        {"listen": {"host": "localhost"}},
        {"engine": {"context_tokens": 127}},
        {"engine": {"parallel": 0}},
        {"limits": {"body_bytes": 1 << 40}},
        {"sandbox": {"tier": "none"}},
        {"sandbox": {"runtime": "docker"}},
        {"sandbox": {"allow_degraded": ["seccomp"]}},
        {"tls": {"cert_file": "/a"}},
        {"tls": {"key_file": "/a"}},
        {"fetch": {"pypi_index": "http://pypi.org/simple/"}},
        {"fetch": {"hf_endpoint": "ftp://hf"}},
    ],
)
def test_values_out_of_range(document: dict[str, Any]) -> None:
    assert refused(document) == "config_value"


def test_overrides_replace_and_none_changes_nothing() -> None:
    changes: dict[str, object] = {
        "listen.port": 0,
        "listen.host": None,
        "sandbox.allow_degraded": ["cgroup"],
        "fetch.private_hosts": ("127.0.0.1:1",),
    }
    config = override_config(Config(), changes)
    assert config.listen.port == 0
    assert config.listen.host == "127.0.0.1"
    assert config.sandbox.allow_degraded == ("cgroup",)
    assert config.fetch.private_hosts == ("127.0.0.1:1",)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [("listen.port", "0", "config_type"), ("listen.port", 70000, "config_value")],
)
def test_overrides_are_checked(name: str, value: object, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override_config(Config(), {name: value})
    assert caught.value.code == code
