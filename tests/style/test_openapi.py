"""The OpenAPI document has every address of the server, is valid, and its page is harmless."""

from __future__ import annotations

import base64
import hashlib
import re
from types import SimpleNamespace

import pytest
from openapi_spec_validator import validate

from corral.gateway import errors
from corral.gateway.app import ADDRESSES
from corral.gateway.openapi import PAGE_HEADERS, describe, page
from corral.gateway.operations import OPERATIONS
from corral.gateway.refusals import REFUSALS
from corral.gateway.schemas.chat import ChatRequest

DOCUMENT = describe(ADDRESSES)
PAGE = page(DOCUMENT).decode()


@pytest.mark.claim("PERM-04")
def test_every_address_is_in_it_with_its_permission() -> None:
    assert set(OPERATIONS) == {(one.method, one.path) for one in ADDRESSES}
    for address in ADDRESSES:
        found = DOCUMENT["paths"][address.path][address.method.lower()]
        assert found.get("x-permission") == address.needs
        assert bool(found["security"]) == (address.needs is not None)
        assert f"{address.method} {address.path}" in PAGE
    unknown = SimpleNamespace(method="GET", path="/new", needs=None)
    with pytest.raises(KeyError):  # the control
        describe([*ADDRESSES, unknown])


def test_every_refusal_that_is_made_is_in_it() -> None:
    change = DOCUMENT["paths"]["/admin/v1/tenants"]["post"]["responses"]
    assert {str(one.status) for one in REFUSALS.values()} <= set(change)
    chat = DOCUMENT["paths"]["/v1/chat/completions"]["post"]
    made = {str(one.status) for one in vars(errors).values() if isinstance(one, errors.ApiError)}
    assert made - {"405"} <= set(chat["responses"]), "405 is what no described method gets"
    assert chat["security"] == [{"bearer": []}, {"certificate": []}]
    assert "409" not in DOCUMENT["paths"]["/v1/models"]["get"]["responses"]


def test_it_is_valid() -> None:
    validate(DOCUMENT)
    broken = {**DOCUMENT, "paths": {"/x": {"get": {"responses": 7}}}}
    with pytest.raises(Exception, match="7 is not"):  # the control
        validate(broken)


def test_bodies_are_the_types_that_requests_are_decoded_into() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert set(schemas["ChatRequest"]["properties"]) == set(ChatRequest.__struct_fields__)
    for name in ("ChatRequest", "CompletionRequest", "Offer", "Acceptance"):
        assert schemas[name]["additionalProperties"] is False, name


@pytest.mark.claim("PERM-04")
def test_the_page_loads_and_runs_nothing() -> None:
    assert not re.search(r"<script|<link|<img|<iframe|\son\w+=|https?://|@import|url\(", PAGE)
    (policy,) = [value.decode() for name, value in PAGE_HEADERS if name.endswith(b"policy")
                 and name.startswith(b"content")]  # fmt: skip
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy

    def allowed(style: str) -> bool:
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        return f"'sha256-{digest}'" in policy

    (style,) = re.findall(r"<style>(.*?)</style>", PAGE, re.DOTALL)
    assert allowed(style)
    assert not allowed(style + "x"), "the control"
