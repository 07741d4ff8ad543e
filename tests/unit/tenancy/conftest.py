"""A real database with one tenant, and the pepper of its keys."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from corral.state.database import open_database
from corral.tenancy.tenants import add_tenant


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
