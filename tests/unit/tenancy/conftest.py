"""A real database with one tenant, and the pepper of its keys."""

import logging
from pathlib import Path

import pytest
from sqlalchemy import Engine

from corral.state.database import open_database
from corral.telemetry import log
from corral.tenancy.tenants import add_tenant


@pytest.fixture(autouse=True)
def _plain_log() -> None:
    """Some command of another test has made the log of this process quieter."""
    log._configure(logging.WARNING, None)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "corral.db"


@pytest.fixture
def engine(database: Path) -> Engine:
    engine = open_database(database)
    add_tenant(engine, "acme")
    return engine


@pytest.fixture
def pepper() -> bytes:
    return bytes(range(32))
