"""Lines of the fetch job, in both directions: a line is nothing or survives the way back."""

from __future__ import annotations

from corral.admission.fetch.wire import (
    Arrived,
    FetchRequest,
    Moved,
    encode,
    parse_from_job,
    parse_request,
)
from fuzz.target import Target


def check(data: bytes) -> None:
    """Parse, encode and parse again."""
    for parse in (parse_from_job, parse_request):
        message = parse(data)
        if message is not None and parse(encode(message)) != message:
            raise AssertionError("the message changed on its way")


TARGET = Target(
    "fetch",
    check,
    (
        encode(Moved(1, 2)),
        encode(Arrived(5, "0" * 64, "https://pypi.org/a", "1" * 64, "abc")),
        encode(FetchRequest(
            "pypi://a==1/b", ("pypi.org",), (), 9, "", "", "", "https://a/", "https://b"
        )),
    ),
)  # fmt: skip
