"""Stored completions over HTTP, by OpenAI's own client: its tenant's, and nobody else's."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import openai
import pytest

from corral.tenancy.keys import create_key
from corral.tenancy.quota import Scope
from corral.tenancy.quota_table import change_quotas
from corral.tenancy.wipe import holds
from tests.unit.gateway.conftest import Served

PATH = "/v1/chat/completions"
ASKED = [{"role": "developer", "content": "Be ZQXSYSTEM."}, {"role": "user", "content": "ZQXUSER?"}]


def switch_on(served: Served, tenant: str, **limits: int) -> None:
    change_quotas(served.home.database, Scope(tenant), {"stored_completions": 100} | limits)


@pytest.fixture
def stored(served: Served) -> Served:
    """A gateway at which two tenants store."""
    for tenant in ("default", "acme"):
        switch_on(served, tenant)
    return served


def ask(served: Served, tenant: str = "acme", **options: Any) -> Any:
    return served.client(tenant).chat.completions.create(
        **{"model": "tiny", "messages": ASKED, "store": True} | options
    )


def code_of(call: Callable[[], object]) -> tuple[int, str | None]:
    with pytest.raises(openai.APIStatusError) as caught:
        call()
    return caught.value.status_code, caught.value.code


@pytest.mark.claim("REST-07")
def test_what_is_stored_comes_back_and_is_not_on_the_disk(stored: Served) -> None:
    answer = ask(stored, metadata={"case": "one"})
    completions = stored.client("acme").chat.completions
    found = completions.retrieve(answer.id)
    assert found.choices == answer.choices
    assert (found.usage, found.created, found.model) == (answer.usage, answer.created, "tiny")
    assert found.metadata == {"case": "one"}
    messages = completions.messages.list(answer.id)
    assert [(one.role, one.content) for one in messages.data] == [
        ("system", "Be ZQXSYSTEM."), ("user", "ZQXUSER?"),
    ]  # fmt: skip
    paged = [one.id for one in completions.messages.list(answer.id, limit=1)]
    assert paged == [f"{answer.id}-0", f"{answer.id}-1"]
    (last, _) = completions.messages.list(answer.id, order="desc").data
    assert last.content == "ZQXUSER?"
    text = str(answer.choices[0].message.content)
    for plain in ("ZQXSYSTEM", "ZQXUSER", text):
        assert not holds(stored.home.database, plain.encode())
    assert holds(stored.home.database, answer.id.encode()), "the control: ids are not secret"
    deleted = completions.delete(answer.id)
    assert (deleted.id, deleted.deleted) == (answer.id, True)
    assert code_of(lambda: completions.retrieve(answer.id)) == (404, "completion_not_found")
    assert completions.list().data == []


def test_streams_are_stored_as_they_were_told(stored: Served) -> None:
    chunks = list(ask(stored, stream=True, logprobs=True, top_logprobs=1))
    told = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    found = stored.client("acme").chat.completions.retrieve(chunks[0].id)
    assert told
    assert found.choices[0].message.content == told
    assert found.choices[0].logprobs is not None
    assert found.metadata == {}


def test_lists(stored: Served) -> None:
    ids = [ask(stored, metadata={"n": str(n), "odd": str(n % 2)}).id for n in range(5)]
    completions = stored.client("acme").chat.completions
    assert [one.id for one in completions.list(limit=2)] == ids
    assert [one.id for one in completions.list(limit=3, order="desc")] == ids[::-1]
    odd = completions.list(metadata={"odd": "1"}, limit=1)
    assert [one.id for one in odd] == [ids[1], ids[3]]
    assert [one.id for one in completions.list(metadata={"odd": "1", "n": "3"})] == [ids[3]]
    assert completions.list(model="other").data == []
    assert len(completions.list(model="tiny").data) == 5
    assert code_of(lambda: completions.list(after="chatcmpl-x")) == (404, "completion_not_found")
    bad = ("limit=0", "limit=101", "limit=x", "order=up", "what=1", "%zz", "limit", "metadata=1")
    with stored.http(headers=stored.bearer("acme")) as http:
        for query in (*bad, "&".join(f"metadata[{n}]=1" for n in range(40))):
            answer = http.get(f"{PATH}?{query}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                400, "invalid_parameter",
            ), query  # fmt: skip


@pytest.mark.claim("REST-09")
def test_another_tenants_is_like_none(stored: Served) -> None:
    own = ask(stored, "default").id
    others = stored.client("acme").chat.completions
    tries: list[Callable[[str], object]] = [
        others.retrieve, others.delete, others.messages.list, lambda name: others.list(after=name),
    ]  # fmt: skip
    for attempt in tries:
        bodies = set()
        for name in (own, "chatcmpl-" + "0" * 24, "x"):
            with pytest.raises(openai.NotFoundError) as caught:
                attempt(name)
            bodies.add(caught.value.response.content)
        assert len(bodies) == 1
    assert others.list().data == []
    assert stored.client("default").chat.completions.retrieve(own).id == own, "the control"


def test_it_is_off_until_the_operator_switches_it_on(served: Served) -> None:
    assert code_of(lambda: ask(served)) == (400, "storage_off")
    assert served.launcher.started == []
    ask(served, store=False, metadata={"a": "b"})
    completions = served.client("acme").chat.completions
    assert completions.list().data == []
    switch_on(served, "acme", stored_completions=1)
    first = ask(served).id
    assert code_of(lambda: ask(served)) == (409, "storage_full")
    completions.delete(first)
    switch_on(served, "acme", stored_bytes=400)
    # It is known only by its end how long it is: then whoever asked is told, streamed or not.
    long = [{"role": "user", "content": "x" * 500}]
    assert code_of(lambda: ask(served, messages=long)) == (409, "storage_full")
    with pytest.raises(openai.APIError) as caught:
        list(ask(served, messages=long, stream=True))
    assert caught.value.code == "storage_full"
    # Off again: nothing more is stored, and what is there can be read and deleted.
    switch_on(served, "acme", stored_bytes=1 << 20)
    kept = ask(served).id
    switch_on(served, "acme", stored_completions=0)
    assert code_of(lambda: ask(served)) == (400, "storage_off")
    assert completions.retrieve(kept).id == kept


def test_scopes_and_roles(stored: Served) -> None:
    pepper = stored.home.pepper.read_bytes()
    for name, options in {
        "auditor": {"role": "auditor"}, "writer": {"role": "user", "scopes": ["completion:create"]},
    }.items():  # fmt: skip
        stored.keys[name], _ = create_key(
            stored.home.database, pepper, tenant="acme", name=name, **options
        )
    kept = ask(stored, "writer").id
    for who in ("auditor", "writer"):
        completions = stored.client(who).chat.completions
        for call in (completions.list, lambda c=completions: c.retrieve(kept),
                     lambda c=completions: c.delete(kept)):  # fmt: skip
            assert code_of(call) == (403, "permission_denied")


@pytest.mark.claim("REST-08")
def test_a_changed_row_is_an_error_without_insides(stored: Served) -> None:
    kept, sound = ask(stored).id, ask(stored).id
    with sqlite3.connect(stored.home.database) as connection:
        connection.execute(
            "UPDATE stored_completions SET answer = zeroblob(length(answer)) WHERE id = ?", (kept,)
        )
    connection.close()
    completions = stored.client("acme").chat.completions
    for call in (lambda: completions.retrieve(kept), completions.list):
        assert code_of(call) == (500, "stored_unreadable")
    assert completions.retrieve(sound).id == sound
    assert completions.delete(kept).deleted
    with sqlite3.connect(stored.home.database) as connection:
        connection.execute("DROP TABLE stored_completions")
    connection.close()
    assert code_of(lambda: completions.retrieve(sound)) == (503, "storage_unavailable")
    assert code_of(lambda: ask(stored)) == (503, "storage_unavailable")
