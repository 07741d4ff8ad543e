"""Every table, as SQLAlchemy Core; times are Unix seconds in UTC unless a name says otherwise.

Trust: gateway [net] and operator side. Never stores an API key, and prompt and completion text only
encrypted (`tenancy.stored`).

`revision` holds one number that triggers raise at each change of a tenant, key, grant, share,
model, quarantine or policy: `state.change` reads it, so that readers in memory notice a change
whoever made it. Usage rows and `keys.last_used_at` do not raise it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

tenants: Final = Table(
    "tenants",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_at", Integer, nullable=False),
    Column("frozen_at", Integer),
    Column("removed_at", Integer),
    sqlite_strict=True,
)

keys: Final = Table(
    "keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("prefix", Text, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
    Column("tenant", Text, ForeignKey("tenants.name"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("expires_at", Integer),
    Column("revoked_at", Integer),
    Column("last_used_at", Integer),
    Column("scopes", Text),  # permissions, or models, with a space between; NULL for all
    Column("models", Text),
    Column("old_hash", LargeBinary),  # of the token before the last rotation, good until old_until
    Column("old_until", Integer),
    CheckConstraint("length(hash) = 32", name="hash_length"),
    CheckConstraint("length(old_hash) = 32", name="old_hash_length"),
    CheckConstraint("(old_hash IS NULL) = (old_until IS NULL)", name="old_pair"),
    CheckConstraint("role IN ('operator', 'tenant-admin', 'user', 'auditor')", name="role"),
    sqlite_strict=True,
    sqlite_autoincrement=True,  # an id is never given twice: usage rows name keys by id
)

grants: Final = Table(
    "grants",
    metadata,
    Column("tenant", Text, ForeignKey("tenants.name"), primary_key=True),
    Column("model", Text, primary_key=True),
    Column("created_at", Integer, nullable=False),
    sqlite_strict=True,
)

models: Final = Table(
    "models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False, index=True),
    Column("size_bytes", Integer, nullable=False),
    Column("trust", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("admitted_at", Integer, nullable=False),
    Column("receipt", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    # Of a derived model more than its file; empty is nobody's, so that no share is about it.
    Column("identity", Text, nullable=False, server_default=""),
    Column("adapter", Text, index=True),  # digest of an adapter or a projector, if it has one
    CheckConstraint("length(digest) = 64", name="digest_length"),
    CheckConstraint("trust IN ('untrusted', 'verified', 'trusted')", name="trust"),
    sqlite_strict=True,
)

usage: Final = Table(
    "usage",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ts_ms", Integer, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("key_id", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("engine_ms", Integer, nullable=False, server_default="0"),
    Column("energy_uj", Integer),
    Index("ix_usage_tenant_ts_ms", "tenant", "ts_ms"),
    sqlite_strict=True,
)

quarantines: Final = Table(
    "quarantines",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("since", Integer, nullable=False),
    Column("until", Integer, nullable=False),
    sqlite_strict=True,
)

shares: Final = Table(
    "shares",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("owner", Text, ForeignKey("tenants.name"), nullable=False),
    Column("receiver", Text, nullable=False),  # no foreign key: an offer tells no tenant's name
    Column("model", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("offered_at", Integer, nullable=False),
    Column("accepted_at", Integer),
    Column("ended_at", Integer),
    CheckConstraint("length(digest) = 64", name="digest_length"),
    CheckConstraint("owner <> receiver", name="two_tenants"),
    sqlite_strict=True,
    sqlite_autoincrement=True,  # an id is never given twice
)

issuer_keys: Final = Table(
    "issuer_keys",
    metadata,
    Column("name", Text, primary_key=True),  # of the provider in the configuration
    Column("issuer", Text, nullable=False),
    Column("jwks", Text, nullable=False),
    Column("fetched_at", Integer, nullable=False),
    sqlite_strict=True,
)

client_trust: Final = Table(
    "client_trust",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pem", Text, nullable=False),
    Column("required", Integer, nullable=False),
    CheckConstraint("id = 1", name="single_row"),
    sqlite_strict=True,
)

client_certificates: Final = Table(
    "client_certificates",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", Text),
    Column("uri", Text),
    Column("tenant", Text, ForeignKey("tenants.name")),  # NULL: only revoked
    Column("role", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("revoked_at", Integer),
    CheckConstraint("(sha256 IS NULL) <> (uri IS NULL)", name="one_name"),
    CheckConstraint("tenant IS NOT NULL OR revoked_at IS NOT NULL", name="mapped_or_revoked"),
    Index(
        "ix_client_certificates_sha256",
        "sha256",
        unique=True,
        sqlite_where=text("revoked_at IS NULL"),
    ),
    Index(
        "ix_client_certificates_uri", "uri", unique=True, sqlite_where=text("revoked_at IS NULL")
    ),
    sqlite_strict=True,
    sqlite_autoincrement=True,  # usage and limits name rows by id
)

quotas: Final = Table(
    "quotas",
    metadata,
    Column("tenant", Text, ForeignKey("tenants.name"), primary_key=True),
    Column("key_id", Integer, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Integer, nullable=False),
    sqlite_strict=True,
)

spent: Final = Table(
    "spent",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("key_id", Integer, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("level", Integer, nullable=False),
    Column("ts_ms", Integer, nullable=False),
    Column("day", Integer, nullable=False),
    Column("day_used", Integer, nullable=False),
    Column("month", Integer, nullable=False),
    Column("month_used", Integer, nullable=False),
    sqlite_strict=True,
)

audit_heads: Final = Table(
    "audit_heads",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("line", LargeBinary, nullable=False),
    sqlite_strict=True,
)

tenant_keys: Final = Table(
    "tenant_keys",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Integer, nullable=False),
    CheckConstraint("length(wrapped) = 60", name="wrapped_length"),
    sqlite_strict=True,
)

stored_completions: Final = Table(
    "stored_completions",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("created_ms", Integer, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("messages", LargeBinary, nullable=False),
    Index("ix_stored_completions_tenant_created_ms", "tenant", "created_ms"),
    sqlite_strict=True,
)

sanitation: Final = Table(
    "sanitation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("document", Text, nullable=False),
    Column("changed_at", Integer, nullable=False),
    CheckConstraint("id = 1", name="single_row"),
    sqlite_strict=True,
)

revision: Final = Table(
    "revision",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("value", Integer, nullable=False),
    CheckConstraint("id = 1", name="single_row"),
    sqlite_strict=True,
)
