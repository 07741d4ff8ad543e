"""An engine worker gets an adapter only over the model with which it was admitted."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from corral.core.home import Home
from corral.core.ids import Digest, pair_digest
from corral.launcher.pen import JailRequest
from corral.launcher.requests import Requests
from tests.unit.launcher import test_requests
from tests.unit.launcher.test_requests import GATEWAY, GOOD, code_of

# Fixtures.
asked, ready, table = test_requests.asked, test_requests.ready, test_requests.table


@pytest.mark.claim("DRV-08")
def test_an_engine_gets_an_adapter_only_as_it_was_admitted(
    table: Requests, home: Home, asked: list[JailRequest]
) -> None:
    base, over = Digest("0" * 64), Digest("f" * 64)
    for name in (base, over):
        home.blob(name).write_bytes(b"GGUF")
        home.blob(name).chmod(0o444)
    home.trust_marks.mkdir(parents=True)
    home.trust_mark(base).write_text("trusted")
    home.trust_mark(pair_digest(base, over, "500")).write_text("verified")
    laid = replace(GOOD, adapter=over, adapter_scale=500)
    for other in ({"adapter_scale": 501}, {"adapter": base}):
        message = replace(laid, **other)  # type: ignore[arg-type]
        assert code_of(lambda m=message: table.start_engine(GATEWAY, m)) == "adapter_not_admitted"  # type: ignore[misc]
    assert asked == []
    table.start_engine(GATEWAY, laid)
    table.start_engine(GATEWAY, GOOD)  # control: without one, no pair is asked for
    with_it, alone = asked
    assert (with_it.trust, alone.trust, alone.laid_fd) == ("verified", "trusted", -1)
    assert os.readlink(f"/proc/self/fd/{with_it.laid_fd}") == str(home.blob(over))
    assert with_it.args[-2:] == ("--adapter-scale", "500")
    for fd in (with_it.file_fd, with_it.laid_fd, alone.file_fd):
        os.close(fd)


@pytest.mark.claim("VISION-03")
def test_an_engine_gets_a_projector_only_as_it_was_admitted(
    table: Requests, home: Home, asked: list[JailRequest]
) -> None:
    base, over = Digest("0" * 64), Digest("f" * 64)
    for name in (base, over):
        home.blob(name).write_bytes(b"GGUF")
        home.blob(name).chmod(0o444)
    home.trust_marks.mkdir(parents=True)
    home.trust_mark(base).write_text("trusted")
    home.trust_mark(pair_digest(base, over, "500")).write_text("trusted")  # an adapter's
    eyes = replace(GOOD, projector=over)
    assert code_of(lambda: table.start_engine(GATEWAY, eyes)) == "adapter_not_admitted"
    home.trust_mark(pair_digest(base, over, "projector")).write_text("verified")
    both = replace(eyes, adapter=over, adapter_scale=500)
    assert code_of(lambda: table.start_engine(GATEWAY, both)) == "bad_engine_option"
    as_adapter = replace(GOOD, adapter=over, adapter_scale=400)
    assert code_of(lambda: table.start_engine(GATEWAY, as_adapter)) == "adapter_not_admitted"
    assert asked == []
    table.start_engine(GATEWAY, eyes)  # control
    (found,) = asked
    assert (found.trust, found.laid_option) == ("verified", "--projector")
    assert os.readlink(f"/proc/self/fd/{found.laid_fd}") == str(home.blob(over))
    assert "--adapter-scale" not in found.args
    for fd in (found.file_fd, found.laid_fd):
        os.close(fd)
