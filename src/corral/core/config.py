"""Configuration: TOML read once into frozen dataclasses; an unknown key is an error.

Trust: operator side. Input: the operator's file, trusted but checked, so that a typing error never
silently weakens anything. Every setting is documented in docs/configuration.md (a test checks).
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

from corral.core.errors import ConfigError
from corral.core.limits import BODY_BYTES_MAX, GIB, MIB, TENANT_WORKERS

TIERS: Final = ("namespaces", "gvisor", "vm")
"""Sandbox tiers, weakest first."""
RUNTIMES: Final = ("auto", "crun", "runc", "runsc", "krun", "kata-runtime")
DEGRADABLE: Final = (
    "cgroup", "landlock", "mdwe", "ksm", "speculation", "swap", "cores", "smt", "gpu-sharing",
    "engine-unknown", "engine-vulnerable",
)  # fmt: skip
"""Features whose absence `sandbox.allow_degraded` may accept, by name."""
_DEVICE: Final = re.compile(
    r"[a-z0-9-]{1,32}:[A-Za-z0-9][\w.-]*/[A-Za-z][\w-]*=\w[\w.:-]*", re.ASCII
)
"""A tenant, and a qualified device name as the CDI specification has it."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where corral listens: loopback only, unless the operator names another address."""

    host: str = "127.0.0.1"
    port: int = 8443
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tls:
    """Operator's own certificate; both empty means corral's own CA issues one."""

    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How jails are made."""

    tier: str = "namespaces"
    runtime: str = "auto"
    allow_degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TierByTrust:
    """Least tier for models of each trust level; empty means `sandbox.tier`, which is the floor."""

    untrusted: str = ""
    verified: str = ""
    trusted: str = ""


@dataclass(frozen=True, slots=True)
class Isolation:
    """What tenants may share below the system calls; `isolation_level` says it for one tenant."""

    level: str = "standard"
    cores_per_worker: int = 1
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """Engine workers. `threads = 0` means one per core; `memory_bytes = 0` means by estimate."""

    context_tokens: int = 2048
    parallel: int = 4
    threads: int = 0
    idle_unload_s: int = 300
    load_timeout_s: int = 120
    first_chunk_timeout_s: int = 300
    chunk_timeout_s: int = 60
    event_interval_ms: int = 80
    max_workers: int = 8
    crashes_max: int = 5
    crash_window_s: int = 600
    quarantine_s: int = 3600
    memory_bytes: int = 0
    memory_max_bytes: int = 64 * GIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Ceilings for each request and each tenant."""

    max_tokens: int = 1024
    body_bytes: int = 1 * MIB
    requests_per_minute: int = 600
    concurrent_requests: int = 16
    queued_requests: int = 64
    request_timeout_s: int = 600


@dataclass(frozen=True, slots=True)
class Fetch:
    """What `corral pull` may reach. `private_hosts` lists `host:port` exempt from the ban."""

    max_bytes: int = 200 * GIB
    hosts: tuple[str, ...] = (
        "pypi.org", "files.pythonhosted.org", "huggingface.co", "*.huggingface.co", "*.hf.co",
        "registry.ollama.ai", "dd20bb891979d25aebc8bec07b2b3bbc.r2.cloudflarestorage.com",
    )  # fmt: skip
    private_hosts: tuple[str, ...] = ()
    pypi_index: str = "https://pypi.org/simple/"
    hf_endpoint: str = "https://huggingface.co"
    token_files: tuple[str, ...] = ()
    limit_rate: int = 0


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures of models count: a table for each name, read by `admission.signing`."""

    signers: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admission:
    """What becomes of a model whose chat template is refused: `refuse` it, or `replace` that."""

    template: str = "refuse"


@dataclass(frozen=True, slots=True)
class Config:
    """The effective configuration tree."""

    listen: Listen = field(default_factory=Listen)
    tls: Tls = field(default_factory=Tls)
    sandbox: Sandbox = field(default_factory=Sandbox)
    tier_by_trust: TierByTrust = field(default_factory=TierByTrust)
    isolation: Isolation = field(default_factory=Isolation)
    engine: Engine = field(default_factory=Engine)
    limits: Limits = field(default_factory=Limits)
    fetch: Fetch = field(default_factory=Fetch)
    trust: Trust = field(default_factory=Trust)
    admission: Admission = field(default_factory=Admission)


def isolation_level(config: Config, _tenant: str) -> str:
    """Return the isolation level of a tenant: today the server's, the same for each."""
    return config.isolation.level


_Section = TypeVar("_Section")

_RANGES: Final[dict[str, tuple[int, int]]] = {
    "listen.port": (0, 65535),
    "isolation.cores_per_worker": (1, 512),
    "engine.context_tokens": (128, 1 << 20),
    "engine.parallel": (1, 64),
    "engine.threads": (0, 512),
    "engine.idle_unload_s": (1, 1 << 31),
    "engine.load_timeout_s": (1, 3600),
    "engine.first_chunk_timeout_s": (1, 86400),
    "engine.chunk_timeout_s": (1, 3600),
    "engine.event_interval_ms": (0, 1000),
    "engine.max_workers": (1, TENANT_WORKERS),
    "engine.crashes_max": (1, 1000),
    "engine.crash_window_s": (1, 86400),
    "engine.quarantine_s": (1, 1 << 31),
    "engine.memory_bytes": (0, 1 << 50),
    "engine.memory_max_bytes": (256 * MIB, 1 << 50),
    "limits.max_tokens": (1, 1 << 20),
    "limits.body_bytes": (1024, BODY_BYTES_MAX),
    "limits.requests_per_minute": (1, 1 << 31),
    "limits.concurrent_requests": (1, 4096),
    "limits.queued_requests": (0, 65536),
    "limits.request_timeout_s": (1, 86400),
    "fetch.max_bytes": (1, 1 << 50),
    "fetch.limit_rate": (0, 1 << 50),
}
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "sandbox.tier": TIERS,
    "tier_by_trust.untrusted": ("", *TIERS),
    "tier_by_trust.verified": ("", *TIERS),
    "tier_by_trust.trusted": ("", *TIERS),
    "sandbox.runtime": RUNTIMES,
    "sandbox.allow_degraded": DEGRADABLE,
    "admission.template": ("refuse", "replace"),
    "isolation.level": ("standard", "strict"),
}


def load_config(path: Path) -> Config:
    """Read the configuration file; a missing file means every default.

    Raises:
        ConfigError: codes `config_unreadable`, `config_syntax`, `config_unknown_key`,
            `config_type`, `config_value`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("config_unreadable", f"{path} cannot be read") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("config_syntax", f"{path} is not TOML: {error}") from error
    return parse_config(document)


def parse_config(document: dict[str, Any]) -> Config:
    """Turn a TOML document into a checked `Config`.

    Raises:
        ConfigError: codes `config_unknown_key`, `config_type`, `config_value`.
    """
    return check_config(_section(Config, document, ""))


def check_config(config: Config) -> Config:
    """Return `config` if every value is in its range.

    Raises:
        ConfigError: code `config_value`.
    """
    for name, (low, high) in _RANGES.items():
        value = _lookup(config, name)
        if not low <= value <= high:
            raise ConfigError("config_value", f"{name} must be from {low} to {high}")
    for name, allowed in _CHOICES.items():
        value = _lookup(config, name)
        for one in value if isinstance(value, tuple) else (value,):
            if one not in allowed:
                raise ConfigError(
                    "config_value", f"{name} must be of {', '.join(filter(None, allowed))}"
                )
    try:
        ipaddress.ip_address(config.listen.host)
    except ValueError as error:
        raise ConfigError("config_value", "listen.host must be an IP address") from error
    if not all(map(_DEVICE.fullmatch, config.isolation.devices)):
        raise ConfigError("config_value", "isolation.devices are TENANT:VENDOR.COM/CLASS=NAME")
    if bool(config.tls.cert_file) != bool(config.tls.key_file):
        raise ConfigError("config_value", "tls.cert_file and tls.key_file go together")
    for url in (config.fetch.pypi_index, config.fetch.hf_endpoint):
        if not url.startswith("https://"):
            raise ConfigError("config_value", "fetch.pypi_index and fetch.hf_endpoint are https")
    return config


def override_config(config: Config, changes: dict[str, object]) -> Config:
    """Return `config` with dotted settings replaced, for command-line options.

    Args:
        config: the tree to start from.
        changes: e.g. `{"listen.port": 0}`; a value of None changes nothing.

    Raises:
        ConfigError: codes `config_type`, `config_value`.
    """
    for name, value in changes.items():
        if value is None:
            continue
        section, key = name.split(".")
        known = get_type_hints(type(getattr(config, section)))
        plain = list(value) if isinstance(value, tuple) else value
        part = replace(getattr(config, section), **{key: _leaf(known[key], plain, name)})
        config = replace(config, **{section: part})
    return check_config(config)


def _lookup(config: Config, name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(config, section), key)


def _section(kind: type[_Section], table: dict[str, Any], path: str) -> _Section:
    known = get_type_hints(kind)
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(table) - names)
    if unknown:
        raise ConfigError("config_unknown_key", f"no such setting: {path}{unknown[0]}")
    values: dict[str, Any] = {}
    for key, value in table.items():
        wanted = known[key]
        if is_dataclass(wanted):
            if not isinstance(value, dict):
                raise ConfigError("config_type", f"{path}{key} must be a table")
            values[key] = _section(cast("type[Any]", wanted), value, f"{key}.")
        else:
            values[key] = _leaf(wanted, value, f"{path}{key}")
    return kind(**values)


def _leaf(wanted: Any, value: Any, name: str) -> object:
    if get_origin(wanted) is dict:
        if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
            raise ConfigError("config_type", f"{name} must be tables, each with a name")
        return value
    if get_origin(wanted) is tuple:
        item = get_args(wanted)[0]
        if not isinstance(value, list) or not all(type(v) is item for v in value):
            raise ConfigError("config_type", f"{name} must be a list of {item.__name__}")
        return tuple(value)
    if type(value) is not wanted:
        raise ConfigError("config_type", f"{name} must be of type {wanted.__name__}")
    return value
