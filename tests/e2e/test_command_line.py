"""The verbs that start jails, as a person calls them: scan, run, list, show, rm, up."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.children import ended
from tests.support.gguf_split import split_gguf
from tests.support.server import CORRAL, MODEL, MODEL_SHA256, copy_home, corral, corral_json
from tests.support.terminal import terminal


@pytest.fixture(scope="module")
def place(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("verbs") / "home"
    copy_home(model_home, home)
    return home


def test_list_and_show_tell_the_same_model(place: Path) -> None:
    (entry,) = corral_json(place, "list")
    assert (entry["name"], entry["sha256"]) == (MODEL, MODEL_SHA256)
    shown = corral_json(place, "show", MODEL)
    assert shown["receipt"]["digest"] == MODEL_SHA256
    assert shown["receipt"]["architecture"] == "llama"
    assert "verified" in corral(place, "list").stdout
    assert MODEL_SHA256 in corral(place, "show", MODEL).stdout


def test_run_answers_once_as_json(place: Path) -> None:
    answer = corral_json(place, "run", MODEL, "Say hello.", "--max-tokens", "8", "--seed", "1")
    assert answer["usage"]["completion_tokens"] <= 8
    assert answer["text"]
    assert answer["tokens_per_s"] > 0


def test_run_reads_its_prompt_from_a_pipe(place: Path) -> None:
    done = subprocess.run(
        [str(CORRAL), "run", MODEL, "--max-tokens", "4", "--home", str(place)],
        input="Hello", capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.strip()


def test_run_is_a_chat_on_a_terminal(place: Path) -> None:
    command = (str(CORRAL), "run", MODEL, "--max-tokens", "6", "--verbose", "--home", str(place))
    with terminal(command) as screen:
        screen.read_until(b">>> ")
        screen.write(b"Hi!\n")
        screen.read_until(b"tokens/s")
        screen.read_until(b">>> ")
        screen.write(b"/bye\n")
        assert screen.process.wait(60) == 0
    assert b"Ctrl-C stops an answer" in screen.shown


def test_scan_exit_codes(place: Path, tmp_path: Path) -> None:
    assert corral_json(place, "scan", MODEL)["verdict"] == "accept"
    wrong = tmp_path / "not.gguf"
    wrong.write_bytes(b"not a model" * 100)
    refused = corral(place, "scan", str(wrong), "--json", check=False)
    report = json.loads(refused.stdout)
    assert (refused.returncode, report["verdict"]) == (1, "reject")
    assert {"code", "severity", "message"} <= set(report["findings"][0])
    log = tmp_path / "log.sarif"
    logged = corral(place, "scan", str(wrong), "--sarif", "--output", str(log), check=False)
    assert (logged.returncode, logged.stdout) == (1, "")
    (run,) = json.loads(log.read_text())["runs"]
    assert run["results"][0]["ruleId"] == report["findings"][0]["code"]
    assert run["artifacts"][0]["hashes"] == {"sha-256": sha256(wrong.read_bytes()).hexdigest()}
    nowhere = str(tmp_path / "no" / "log.json")
    unwritten = corral(place, "scan", MODEL, "--json", "--output", nowhere, check=False)
    assert unwritten.returncode == 2
    assert json.loads(unwritten.stdout)["error"]["code"] == "output_not_written"
    undecided = corral(place, "scan", str(tmp_path / "absent.gguf"), "--json", check=False)
    assert undecided.returncode == 2
    assert "error" in json.loads(undecided.stdout)


def test_a_refused_pull_says_why_and_leaves_nothing(place: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "not.gguf"
    wrong.write_bytes(b"not a model" * 100)
    done = corral(place, "pull", str(wrong), "--json", check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"]
    assert "Traceback" not in done.stderr
    assert len(corral_json(place, "list")) == 1


def test_a_known_digest_is_admitted_from_the_store(place: Path) -> None:
    refused = corral(
        place, "pull", str(place), "--sha256", MODEL_SHA256, "--name", "m", "--json", check=False
    )
    assert json.loads(refused.stdout)["error"]["code"] == "source_not_a_file"
    corral_json(place, "pull", "hf://o/r/m.gguf", "--name", "m", "--sha256", MODEL_SHA256)
    receipt = corral_json(place, "show", "m")["receipt"]
    assert (receipt["readmitted_from_store"], receipt["asked_source"]) == (
        True, "hf://o/r/m.gguf@main",
    )  # fmt: skip
    assert receipt["source"] == corral_json(place, "show", MODEL)["receipt"]["source"]
    corral(place, "rm", "m")


@pytest.mark.claim("ADM-40")
def test_a_dry_run_makes_nothing(place: Path, tmp_path: Path) -> None:
    blob, nowhere = place / "store" / "sha256" / MODEL_SHA256, tmp_path / "none" / "home"
    plan = corral_json(nowhere, "pull", str(blob), "--name", "m", "--dry-run")
    assert (plan["files"][0]["sha256"], plan["in_store"]) == (MODEL_SHA256, False)
    assert not nowhere.parent.exists()
    here = corral(place, "pull", "hf://o/r/m.gguf", "--dry-run", "--json", check=False)
    assert json.loads(here.stdout)["error"]["code"] == "network_error"
    taken = corral(place, "pull", str(tmp_path / "x.gguf"), "--dry-run", check=False)
    assert "source_missing" in taken.stderr
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF")
    done = corral(place, "pull", str(other), "--name", MODEL, "--dry-run", "--json", check=False)
    assert (done.returncode, json.loads(done.stdout)["refusal"]["code"]) == (1, "name_taken")
    assert (
        "refused"
        in corral(place, "pull", str(other), "--name", MODEL, "--dry-run", check=False).stdout
    )


@pytest.mark.claim("ADM-42")
def test_a_lock_file_is_written_and_reproduced(place: Path, tmp_path: Path) -> None:
    file, lock = tmp_path / "m.gguf", tmp_path / "models.lock"
    shutil.copyfile(place / "store" / "sha256" / MODEL_SHA256, file)
    pull = ("pull", "--lock", str(lock))
    corral_json(place, *pull, str(file), "--sha256", MODEL_SHA256)
    assert 'source = "./m.gguf"' in lock.read_text()
    (left,) = corral_json(place, *pull, "--locked")
    corral(place, "rm", "m")
    (made,) = corral_json(place, *pull, "--locked", "m")
    assert (left["pulled"], made["pulled"], made["sha256"]) == (False, True, MODEL_SHA256)
    corral(place, "rm", "m")
    file.write_bytes(b"another")
    text = lock.read_bytes()
    for options in (("--locked",), (str(file),)):
        done = corral(place, *pull, *options, "--json", check=False)
        assert json.loads(done.stdout)["error"]["code"] == "hash_mismatch"
    (plan,) = json.loads(
        corral(place, *pull, "--locked", "--dry-run", "--json", check=False).stdout
    )
    assert plan["refusal"]["code"] == "hash_mismatch"
    assert lock.read_bytes() == text


@pytest.mark.claim("ADM-44")
def test_a_model_in_three_files_answers_as_the_one(place: Path, tmp_path: Path) -> None:
    whole = (place / "store" / "sha256" / MODEL_SHA256).read_bytes()
    digests = []
    for number, part in enumerate(split_gguf(whole, 3), 1):
        (tmp_path / f"split-{number:05d}-of-00003.gguf").write_bytes(part)
        digests += ["--sha256", hashlib.sha256(part).hexdigest()]
    corral_json(place, "pull", str(tmp_path / "split-00001-of-00003.gguf"), *digests)
    receipt = corral_json(place, "show", "split")["receipt"]
    assert (receipt["digest"], len(receipt["parts"])) == (MODEL_SHA256, 3)
    asked = ("What is the capital of France?", "--max-tokens", "12", "--seed", "1")
    answers = {corral_json(place, "run", model, *asked)["text"] for model in (MODEL, "split")}
    assert len(answers) == 1
    corral(place, "rm", "split")


def test_keys_are_printed_by_up_also_after_a_pull(tmp_path: Path, model_home: Path) -> None:
    blob = model_home / "store" / "sha256" / MODEL_SHA256
    home = tmp_path / "home"
    pulled = corral_json(home, "pull", str(blob), "--name", "m", "--sha256", MODEL_SHA256)
    assert pulled["name"] == "m"
    for has_keys in (True, False):
        with ended(subprocess.Popen(
            [str(CORRAL), "up", "--home", str(home), "--port", "0", "--print-json",
             "--allow-degraded=detector"],
            stdout=subprocess.PIPE, text=True,
        )) as server:  # fmt: skip
            assert server.stdout is not None
            ready = json.loads(server.stdout.readline())
            assert ready["pid"] == server.pid
            assert ("api_key" in ready, "admin_key" in ready) == (has_keys, has_keys)
            assert corral(home, "stop").returncode == 0
            assert server.wait(30) == 0


def test_rm_takes_the_file_along(model_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    copy_home(model_home, home)
    corral(home, "rm", MODEL)
    assert corral_json(home, "list") == []
    assert list((home / "store" / "sha256").iterdir()) == []
    again = corral(home, "rm", MODEL, "--json", check=False)
    assert json.loads(again.stdout)["error"]["code"] == "no_such_model"
