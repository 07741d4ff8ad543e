"""Tests use real parts: our own code is patched in the places of this list and nowhere else.

Allowed is what the machine of a test cannot be (another kernel, another host, a wall that is
missing), a path of the host, a time that a test would wait for, and a part beside the one under
test that is recorded or made to fail. What a test is about is never patched.

Beside these, `tests/support/patched_launcher.py`, `tests/security/mutation` and `change_launcher`
of `tests/integration/launcher/test_serve.py` run a statement in the process of a production
launcher.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATCHED = {
    "unit/admission/scan/test_cursor.py": {
        "admission.scan.cursor._PIECE_BYTES": "a size: a file of several pieces would be too large",
    },
    "unit/audit/test_selection.py": {
        "audit.selection._BLOCK_BYTES": "a size",
        "audit.selection._LOOK_BYTES": "a size",
        "audit.selection.parse_line": "recorded: how much is read",
    },
    "unit/cli/test_selftest.py": {
        "selftest.run.run_matrix": "the run itself: what the command prints of each outcome",
    },
    "unit/cli/test_wipe.py": {"state.connection.BUSY_TIMEOUT_S": "a time"},
    "unit/doctor/test_host_owned.py": {
        "doctor.clock.clock_synchronised": "another host",
        "doctor.memory.shipped_profiles": "a profile with another wall",
        "doctor.processor.core_scheduling_works": "another kernel",
        "doctor.processor.speculation_control": "another processor",
    },
    "unit/doctor/test_kernel.py": {
        "doctor.kernel.landlock_abi": "another kernel",
        "doctor.kernel.machine": "another kernel",
        "doctor.kernel.makes_namespaces": "another kernel",
    },
    "unit/engine/test_local.py": {"engine.local.time": "a time"},
    "unit/engine/test_supervisor.py": {"engine.router.release_free_memory": "recorded"},
    "unit/engine/test_seal.py": {
        "engine.seal.landlock_version": "another kernel",
        "engine.seal.restrict_files": "recorded: it cannot be undone in the test's process",
    },
    "unit/gateway/test_admin_api.py": {
        "gateway.routes.keys.create_key": "held up, for a revoke to come first",
        "tenancy.keys.LIVE_KEYS": "a size",
    },
    "unit/gateway/test_http_guard.py": {"gateway.main.Front": "recorded"},
    "unit/gateway/test_slow_clients.py": {
        "gateway.exchange._SLOW_S": "a time",
        "gateway.http_guard._RATE_S": "a time",
        "gateway.main.Room": "a wall that is missing",
        "gateway.uploads._KEPT_BYTES": "a size",
    },
    "unit/gateway/test_pipeline.py": {"gateway.exchange.WRITE_IDLE_S": "a time"},
    "unit/gateway/test_traces.py": {
        "telemetry.trace_files.TraceWriter.write": "made to fail: a disk that refuses",
    },
    "unit/jail/test_entry_unsafe.py": {
        "jail.lockdown_unsafe.forbid_file_growth": "recorded: it cannot be undone",
    },
    "unit/jail/test_seal_unsafe.py": {
        "jail.seal_unsafe._call": "another kernel",
        "jail.seal_unsafe.landlock_version": "another kernel",
    },
    "unit/pki/test_master_key_lock.py": {
        "pki.master_key_lock.wrap_secret": "made to fail: a lock that nobody could open",
    },
    "unit/launcher/test_blobs.py": {"launcher.blobs.*": "paths"},
    "unit/launcher/test_host.py": {"launcher.host.*": "another kernel"},
    "unit/launcher/test_isolation.py": {
        "launcher.isolation.core_scheduling_works": "another kernel",
        "launcher.isolation.load_device": "another host",
        "launcher.isolation.opt_out": "another kernel",
        "launcher.isolation.read_points": "another host",
        "launcher.isolation.whole_cores": "another host",
    },
    "unit/launcher/test_loop.py": {
        "launcher.spawn_unsafe.*": "paths",
        "launcher.stage.BUNDLES": "a path",
    },
    "unit/launcher/test_pen.py": {
        "launcher.pen.host_pid_of": "a jail that is not there",
        "launcher.pen.remove_bundle": "a jail that is not there",
        "launcher.pen.start_bundle": "recorded, or made to fail",
    },
    "unit/launcher/test_start_guard.py": {"launcher.requests.IMAGES": "a path"},
    "unit/launcher/test_requests.py": {
        "launcher.blobs.QUARANTINE": "a path",
        "launcher.blobs.STORE": "a path",
        "launcher.pen.find_flaw": "a jail that is not there",
        "launcher.requests.IMAGES": "a path",
        "launcher.requests.QUARANTINE": "a path",
    },
    "unit/launcher/test_spawn_unsafe.py": {
        "launcher.spawn_unsafe.*": "paths",
        "launcher.spawn_unsafe._START_SECONDS": "a time",
        "launcher.spawn_unsafe.claim_core": "another kernel",
    },
    "unit/media/test_job.py": {"media.sound.FILE": "a path"},
    "unit/selftest/test_inspection.py": {
        "selftest.inspection._ROOT": "a path",
        "selftest.inspection._group": "another host",
    },
    "unit/service/test_installation.py": {
        "service.installation.make_user": "another host: no user is made on this one",
        "service.installation.manager_runs": "another host",
        "service.installation.systemctl": "recorded: this host's services are left alone",
        "service.layout.Layout.live": "a path",
    },
    "unit/tenancy/test_ledger.py": {"tenancy.ledger.Ledger._commit": "recorded"},
}
"""What is patched, by file below tests/, and what stands there instead."""


def patched_names(source: str) -> set[str]:
    """Return `module.name` of what of corral a test file patches."""
    tree = ast.parse(source)
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = ast.unparse(node.func)
        target = node.args[0]
        if called.endswith((".setattr", ".setitem", ".delattr", "patch", "patch.object")):
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                name = target.value
            else:
                attribute = node.args[1] if len(node.args) > 1 else None
                last = attribute.value if isinstance(attribute, ast.Constant) else "*"
                name = f"{modules.get(ast.unparse(target), ast.unparse(target))}.{last}"
            if name.startswith("corral."):
                found.add(name.removeprefix("corral."))
    return found


def test_our_own_code_is_patched_only_where_this_list_says_so() -> None:
    found = {
        str(path.relative_to(ROOT / "tests")): names
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if (names := patched_names(path.read_text(encoding="utf-8")))
    }
    assert found == {file: set(names) for file, names in PATCHED.items()}


def test_the_finder_finds() -> None:
    source = (
        "import corral.a as a\nfrom corral import b\nfrom corral.c import d\nimport os\n"
        "monkeypatch.setattr(a, 'X', 1)\nmonkeypatch.setattr(b, name, 1)\n"
        "monkeypatch.setattr('corral.e.Y', 1)\nmock.patch('corral.f.g')\n"
        "patch.object(d, 'method')\nmonkeypatch.setattr(os, 'access', 1)\n"
    )
    assert patched_names(source) == {"a.X", "b.*", "e.Y", "f.g", "c.d.method"}
