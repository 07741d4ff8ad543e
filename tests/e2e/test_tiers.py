"""`corral up` with a tier: the real server, the real engine, a chat."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable

import pytest

from corral.cli.readback import read_back
from corral.sandbox.runtimes import KVM
from tests.support.server import MODEL, RunningServer, corral, corral_json

Serve = Callable[..., RunningServer]


def chat(server: RunningServer) -> str:
    answer = server.openai().chat.completions.create(
        model=MODEL, max_tokens=4, temperature=0,
        messages=[{"role": "user", "content": "Say hello."}],
    )  # fmt: skip
    return answer.choices[0].message.content or ""


@pytest.mark.slow
@pytest.mark.claim("HOST-02")
def test_the_gvisor_tier_answers_a_chat(
    server_factory: Serve, needs_root: None, needs_runtime: Callable[[str], None]
) -> None:
    needs_runtime("runsc")
    server = server_factory("--tier", "gvisor")
    assert chat(server)
    (worker,) = server.workers()
    assert (worker["runtime"], worker["tier"]) == ("runsc", "gvisor")

    # The same server tells its operator, and nobody else, what its host is like.
    told = server.http(server.admin_key).get("/admin/v1/host").json()
    assert told["can_start"]
    assert "runsc (tier gvisor)" in {f["detail"] for f in told["facts"] if f["name"] == "runtime"}
    assert server.http().get("/admin/v1/host").status_code == 403
    assert server.http("sk-corral-none").get("/healthz").json().keys() == {"status", "degraded"}
    assert server.http().get("/healthz").json()["degraded_walls"] == told["degraded"]


@pytest.mark.slow
@pytest.mark.claim("HOST-01")
def test_what_doctor_calls_enforced_is_in_force(
    shared_server: RunningServer, needs_root: None
) -> None:
    """The kernel's word about a live worker is the control of doctor's."""
    facts = {f["name"]: f for f in corral_json(shared_server.home, "doctor")["facts"]}
    assert chat(shared_server)
    pid = shared_server.worker_of("default")["pid"]
    seen = {row.wall: row.verdict for row in read_back(pid)}
    for fact, walls in {
        "namespaces": ["own namespaces"],
        "seccomp": ["seccomp"],
        "cgroup": ["cgroup: memory", "cgroup: processes"],
        "core-dumps": ["rlimit: core file"],
    }.items():
        assert {seen[wall] for wall in walls} == {facts[fact]["state"]}, fact


def test_a_runtime_that_is_too_weak_starts_nothing(home) -> None:
    ended = corral(
        home, "up", "--port", "0", "--json", "--tier", "gvisor", "--runtime", "crun", check=False
    )
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["error"]["code"] == "runtime_too_weak"


@pytest.mark.slow
@pytest.mark.hardware("KVM and an OCI VM runtime")
def test_the_vm_tier_answers_a_chat_where_there_is_one(server_factory: Serve, home) -> None:
    """Needs KVM and an OCI VM runtime; no machine of ours has had both."""
    if not os.access(KVM, os.R_OK | os.W_OK):
        pytest.skip(f"the vm tier needs {KVM}")
    if not (shutil.which("krun") or shutil.which("kata-runtime")):
        ended = corral(home, "up", "--port", "0", "--json", "--tier", "vm", check=False)
        assert json.loads(ended.stdout)["error"]["code"] == "runtime_missing"
        pytest.skip("there is no OCI VM runtime here: only the refusal was tested")
    server = server_factory("--tier", "vm")
    assert chat(server)
    assert server.workers()[0]["tier"] == "vm"
