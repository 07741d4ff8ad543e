"""A real database with one tenant, and the pepper of its keys."""

import logging
from pathlib import Path

import pytest
from sqlalchemy import Engine

from corral.state.database import open_database
from corral.state.schema import ensure_current
from corral.telemetry import log
from corral.tenancy.tenants import add_tenant


@pytest.fixture(autouse=True)
def _plain_log() -> None:
    """Some command of another test has made the log of this process quieter."""
    log._configure(logging.WARNING, None)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "corral.db"
    ensure_current(path)
    add_tenant(path, "acme")
    return path


@pytest.fixture
def engine(database: Path) -> Engine:
    return open_database(database)


@pytest.fixture
def pepper() -> bytes:
    return bytes(range(32))
