"""Schemas that were written to do harm, at a sealed worker with the genuine engine.

The control: the bare engine, in a child, ends, hangs, or answers as if there were no schema.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from corral.cli.models import find_model
from corral.core.home import Home
from corral.engine.wire import Generate, Message, Sampling
from corral.guard.json_schema import Schema, SchemaError, parse_schema
from tests.security.escape.test_seal import running
from tests.support.hostile_schemas import BOMBS, HostileSchemas
from tests.support.server import MODEL, copy_home

DRAWN = 1000
ASKED = (Message("user", "Tell me about the sea."),)
ROOT = Path(__file__).parents[3]


def taken(schema: Any) -> Schema | None:
    try:
        return parse_schema(schema, "schema")
    except SchemaError:
        return None


@pytest.mark.claim("SCHEMA-01")
@pytest.mark.timeout(580)
def test_a_worker_outlives_every_schema_that_is_taken(model_home, tmp_path, needs_runtime):
    needs_runtime("crun")
    home = copy_home(model_home, tmp_path / "home")
    every = [*BOMBS.values(), *HostileSchemas(7).draw(DRAWN)]
    schemas = [schema for one in every if (schema := taken(one)) is not None]
    assert len(schemas) > DRAWN / 5
    for worker in running(home, "crun", parallel=2):
        for number, schema in enumerate(schemas, start=1):
            sampling = Sampling(4, seed=number, json_schema=schema.text)
            worker.say(Generate(number, sampling, messages=ASKED))
            said = worker.until_end(number)
            assert said[-1]["ev"] == "end", schema.text[:1000]
            text = "".join(line["text"] for line in said[:-1])
            if said[-1]["reason"] == "stop":  # the engine has dropped no schema that is taken
                told = Draft202012Validator(json.loads(schema.text))
                assert told.is_valid(json.loads(text)), (text, schema.text)
        last = len(schemas) + 1
        worker.say(Generate(last, Sampling(4), messages=ASKED))
        assert worker.until_end(last)[-1]["usage"]["completion_tokens"] > 0


def bare(model_home: Path, schema: Any, *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    home = Home(model_home)
    entry = find_model(home, MODEL)
    asked = json.dumps({"template": entry.receipt.template.text, "schema": schema})
    return subprocess.run(
        [sys.executable, "-m", "tests.support.bare_schema", str(home.blob(entry.digest))],
        input=asked, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.claim("SCHEMA-01")
def test_the_bare_engine_ends_hangs_or_forgets(model_home):
    # The control of the controls: a schema that it can work with.
    plain = bare(model_home, {"enum": ["blue"]}, timeout_s=120)
    assert plain.stdout == '"blue"', plain.stderr
    assert taken(BOMBS["long chain"]) is None
    assert bare(model_home, BOMBS["long chain"], timeout_s=120).returncode == -signal.SIGSEGV
    assert taken(BOMBS["min items"]) is None
    with pytest.raises(subprocess.TimeoutExpired):
        bare(model_home, BOMBS["min items"], timeout_s=20)
    assert taken(BOMBS["lookahead"]) is None
    forgotten = bare(model_home, BOMBS["lookahead"], timeout_s=120)
    assert forgotten.returncode == 0
    with pytest.raises(ValueError, match=r"Expecting|Extra"):
        json.loads(forgotten.stdout)
