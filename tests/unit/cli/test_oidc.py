"""`corral oidc` where nothing is fetched."""

from __future__ import annotations

import io

import pytest

from corral.core.home import Home
from corral.tenancy.holder import holder_name
from corral.tenancy.oidc_user import user_key, user_number
from tests.support.command_line import Corral

ISSUER = "https://id.example"


@pytest.mark.claim("OIDC-06")
@pytest.mark.parametrize(
    ("typed", "code"),
    [(b"alice\n", ""), (b"alice", ""), (b"alice\r\nbob\n", ""), (b"\n", "bad_subject"),
     (b"a" * 256, "bad_subject"), ("\u0430lice".encode(), "bad_subject")],
    ids=["line", "end", "lines", "empty", "long", "not ascii"],
)  # fmt: skip
def test_a_users_name_is_told_and_the_sub_is_kept_nowhere(
    corral: Corral, home: Home, monkeypatch: pytest.MonkeyPatch, typed: bytes, code: str
) -> None:
    with home.config_file.open("a") as file:
        file.write(
            f'\n[identity.oidc.corp]\nissuer = "{ISSUER}"\naudience = "c"\ntenant_claim = "t"\n'
            'role_claim = "r"\nroles = {u = "user"}\n'
        )
    place = ("--home", str(home.root))

    def ask(provider: str, *options: str) -> tuple[str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
        done = corral("oidc", "user", provider, *options, *place)
        return done.out, done.err

    name = holder_name(user_number(user_key(home.pepper.read_bytes()), ISSUER, "alice"))
    out, err = ask("corp")
    assert (out, code in err) == ("" if code else f"{name}\n", True)
    if not code:
        assert f'"user": "{name}"' in ask("corp", "--json")[0]
    assert "no_such_provider" in ask("other", "--json")[0]
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert home.pepper in files
    assert not [path for path in files if b"alice" in path.read_bytes()]
