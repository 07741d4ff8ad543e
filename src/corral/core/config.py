"""Configuration: TOML read once into frozen dataclasses; an unknown key is an error.

Trust: operator side. Input: the operator's file, trusted but checked, so that a typing error never
silently weakens anything. Every setting is documented in docs/configuration.md (a test checks).
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from dataclasses import dataclass, field, fields, is_dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

from corral.core.errors import ConfigError
from corral.core.limits import BODY_BYTES_MAX, GIB, MIB, TENANT_WORKERS

TIERS: Final = ("namespaces", "gvisor", "vm")
"""Sandbox tiers, weakest first."""
RUNTIMES: Final = ("auto", "crun", "runc", "runsc", "krun", "kata-runtime")
DEGRADABLE: Final = (
    "cgroup", "landlock", "mdwe", "ksm", "speculation", "swap", "cores", "smt", "gpu-sharing",
    "engine-unknown", "engine-vulnerable", "detector",
)  # fmt: skip
"""Features whose absence `sandbox.allow_degraded` may accept, by name."""
_DEVICE: Final = re.compile(
    r"[a-z0-9-]{1,32}:[A-Za-z0-9][\w.-]*/[A-Za-z][\w-]*=\w[\w.:-]*", re.ASCII
)
"""A tenant, and a qualified device name as the CDI specification has it."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where corral listens: loopback only, unless the operator names another address.

    Here and below, `Annotated[int, LOW, HIGH]` is a number from LOW to HIGH.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, 0, 65535] = 8443
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
    cores_per_worker: Annotated[int, 1, 512] = 1
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """Engine workers. `threads = 0` means one per core; `memory_bytes = 0` means by estimate."""

    context_tokens: Annotated[int, 128, 1 << 20] = 2048
    parallel: Annotated[int, 1, 64] = 4
    capacity: Annotated[int, 0, 4096] = 0
    threads: Annotated[int, 0, 512] = 0
    idle_unload_s: Annotated[int, 1, 1 << 31] = 300
    load_timeout_s: Annotated[int, 1, 3600] = 120
    first_chunk_timeout_s: Annotated[int, 1, 86400] = 300
    chunk_timeout_s: Annotated[int, 1, 3600] = 60
    event_interval_ms: Annotated[int, 0, 1000] = 80
    max_workers: Annotated[int, 1, TENANT_WORKERS] = 8
    crashes_max: Annotated[int, 1, 1000] = 5
    crash_window_s: Annotated[int, 1, 86400] = 600
    quarantine_s: Annotated[int, 1, 1 << 31] = 3600
    memory_bytes: Annotated[int, 0, 1 << 50] = 0
    memory_total_bytes: Annotated[int, 0, 1 << 50] = 0
    memory_reserve_bytes: Annotated[int, 0, 1 << 50] = 512 * MIB
    memory_max_bytes: Annotated[int, 256 * MIB, 1 << 50] = 64 * GIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Ceilings for each request and each tenant; 0 is no ceiling where it may be 0."""

    max_tokens: Annotated[int, 1, 1 << 20] = 1024
    body_bytes: Annotated[int, 1024, BODY_BYTES_MAX] = 1 * MIB
    requests_per_minute: Annotated[int, 1, 1 << 31] = 600
    concurrent_requests: Annotated[int, 1, 4096] = 16
    queued_requests: Annotated[int, 0, 65536] = 64
    tokens_per_minute: Annotated[int, 0, 1 << 50] = 0
    tokens_per_day: Annotated[int, 0, 1 << 50] = 0
    tokens_per_month: Annotated[int, 0, 1 << 50] = 0
    max_workers: Annotated[int, 0, TENANT_WORKERS] = 0
    worker_memory_bytes: Annotated[int, 0, 1 << 50] = 0
    request_timeout_s: Annotated[int, 1, 86400] = 600


@dataclass(frozen=True, slots=True)
class Clients:
    """How many connections there may be, and how slow a client; 0 means no bound."""

    connections: Annotated[int, 16, 3072] = 1024
    connections_per_address: Annotated[int, 0, 3072] = 512
    connections_per_tenant: Annotated[int, 1, 3072] = 256
    header_timeout_s: Annotated[int, 1, 600] = 10
    body_timeout_s: Annotated[int, 1, 3600] = 30
    idle_timeout_s: Annotated[int, 1, 3600] = 60
    upload_bytes_per_s: Annotated[int, 0, 1 << 30] = 512
    download_bytes_per_s: Annotated[int, 0, 1 << 30] = 64


@dataclass(frozen=True, slots=True)
class Fetch:
    """What `corral pull` may reach. `private_hosts` lists `host:port` exempt from the ban."""

    max_bytes: Annotated[int, 1, 1 << 50] = 200 * GIB
    hosts: tuple[str, ...] = (
        "pypi.org", "files.pythonhosted.org", "huggingface.co", "*.huggingface.co", "*.hf.co",
        "registry.ollama.ai", "dd20bb891979d25aebc8bec07b2b3bbc.r2.cloudflarestorage.com",
    )  # fmt: skip
    private_hosts: tuple[str, ...] = ()
    pypi_index: str = "https://pypi.org/simple/"
    hf_endpoint: str = "https://huggingface.co"
    token_files: tuple[str, ...] = ()
    limit_rate: Annotated[int, 0, 1 << 50] = 0


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures of models count: a table for each name, read by `admission.signing`."""

    signers: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who else says who somebody is: a table for each name, read by `tenancy.oidc_provider`."""

    oidc: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admission:
    """What becomes of a model whose chat template is refused: `refuse` it, or `replace` that."""

    template: str = "refuse"


@dataclass(frozen=True, slots=True)
class Audit:
    """The gateway's audit log; `segment_days = 0` and `retain_days = 0` mean no bound."""

    segment_bytes: Annotated[int, 1 << 16, 1 << 40] = 64 * MIB
    segment_days: Annotated[int, 0, 366] = 1
    retain_days: Annotated[int, 0, 36500] = 365


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Traces of requests in `trace_files` files of 16 MiB; 0 is none."""

    trace_files: Annotated[int, 0, 4096] = 0


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
    clients: Clients = field(default_factory=Clients)
    fetch: Fetch = field(default_factory=Fetch)
    trust: Trust = field(default_factory=Trust)
    identity: Identity = field(default_factory=Identity)
    admission: Admission = field(default_factory=Admission)
    audit: Audit = field(default_factory=Audit)
    telemetry: Telemetry = field(default_factory=Telemetry)


def isolation_level(config: Config, _tenant: str) -> str:
    """Return the isolation level of a tenant: today the server's, the same for each."""
    return config.isolation.level


_Section = TypeVar("_Section")

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "sandbox.tier": TIERS,
    **{f"tier_by_trust.{trust.name}": ("", *TIERS) for trust in fields(TierByTrust)},
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
    for one in fields(config):
        part = getattr(config, one.name)
        for key, kind in get_type_hints(type(part), include_extras=True).items():
            if get_origin(kind) is not Annotated:
                continue
            _, low, high = get_args(kind)
            if not low <= getattr(part, key) <= high:
                raise ConfigError("config_value", f"{one.name}.{key} must be from {low} to {high}")
    for name, allowed in _CHOICES.items():
        value = attrgetter(name)(config)
        if not {*(value if isinstance(value, tuple) else (value,))} <= {*allowed}:
            known = ", ".join(filter(None, allowed))
            raise ConfigError("config_value", f"{name} must be of {known}")
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


def _section(kind: type[_Section], table: dict[str, Any], path: str) -> _Section:
    known = get_type_hints(kind)
    unknown = sorted(set(table) - set(known))
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
