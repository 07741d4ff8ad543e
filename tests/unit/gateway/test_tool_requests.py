"""What a request may say of tools: each refusal names the field."""

from __future__ import annotations

import json

import httpx2

from tests.unit.gateway.conftest import Served
from tests.unit.gateway.test_tools import TOOLS, WEATHER, after_result, tool, user


def called(*lists: list[int]) -> list[dict[str, object]]:
    """Return an earlier answer with a call for each list."""
    calls = [
        {"id": f"c{n}", "type": "function",
         "function": {"name": "t", "arguments": json.dumps({"a": one}, separators=(",", ":"))}}
        for n, one in enumerate(lists)
    ]  # fmt: skip
    return [{"role": "assistant", "content": None, "tool_calls": calls}]


def test_wrong_requests_name_what_is_wrong(served: Served) -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "x"}
    history = after_result("x")
    for change, code, param in (
        ({"messages": [user("x"), result]}, "invalid_parameter", "messages[1].tool_call_id"),
        ({"messages": [*history, result]}, "invalid_parameter", "messages[3].tool_call_id"),
        ({"messages": [{"role": "user", "content": None}]}, "missing_parameter",
         "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "tool_call_id": "c1"}]},
         "invalid_parameter", "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": []}]}, "invalid_parameter",
         "messages[0].tool_calls"),
        ({"tools": [WEATHER, WEATHER]}, "invalid_parameter", "tools[1].function.name"),
        ({"tools": [tool("a b")]}, "invalid_parameter", "tools[0].function.name"),
        ({"tools": [tool(f"t{n}") for n in range(129)]}, "invalid_parameter", "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "invalid_parameter",
         "tools[0].type"),
        ({"tools": [WEATHER | {"more": 1}]}, "unknown_parameter", "tools[0].more"),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "invalid_parameter",
         "tool_choice"),
        ({"tools": None, "tool_choice": "required"}, "invalid_parameter", "tool_choice"),
        ({"logprobs": True}, "invalid_parameter", "logprobs"),
        ({"stop": ["}"], "tool_choice": "required"}, "invalid_parameter", "stop"),
        ({"confirm_sensitive_tools": "yes"}, "invalid_parameter", "confirm_sensitive_tools"),
        ({"tools": [tool("t", a={"type": "text"})]}, "invalid_schema",
         "tools[0].function.parameters.properties[0].type"),
        ({"tools": [tool(f"t{n}", a={"type": "string", "pattern": f"a{n}"}) for n in range(33)]},
         "invalid_schema", "tools[32].function.parameters.properties[0].pattern"),
        ({"messages": [user("x"), *called(list(range(9_000)), list(range(9_000)))]},
         "invalid_parameter", "messages[1].tool_calls[1].function.arguments"),
        ({"tools": [tool(f"t{n}", a={"type": "string", "description": "x" * 2000})
                    for n in range(40)]}, "invalid_parameter", "tools"),
    ):  # fmt: skip
        body = {"model": "obedient", "messages": [user("x")], "tools": TOOLS} | change
        with served.http(headers=served.bearer()) as http:
            answer: httpx2.Response = http.post("/v1/chat/completions", json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, code, param), change
