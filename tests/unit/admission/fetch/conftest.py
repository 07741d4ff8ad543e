"""A download server that behaves as each test tells it."""

from collections.abc import Iterator

import pytest

from tests.support.download_server import DownloadServer, download_server


@pytest.fixture
def server() -> Iterator[DownloadServer]:
    with download_server() as running:
        yield running
