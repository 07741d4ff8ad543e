"""An engine worker without an engine: speaks the wire on stdin and stdout, well or badly.

argv: the mode; see `MODES` at the end. Standard library only, so that it starts fast.
"""

import json
import os
import signal
import sys
import threading
import time
from base64 import b64decode, b64encode

LOCK = threading.Lock()
CANCELLED: set[int] = set()


def send(**fields: object) -> None:
    line = json.dumps(fields).encode() + b"\n"
    with LOCK:
        view = memoryview(line)
        while view:
            view = view[os.write(1, view) :]


def ready(special: int = 0) -> None:
    send(ev="ready", engine="fake 1", load_ms=1, special=special)


def logprob(token: str, alternatives: int) -> dict[str, object]:
    one = {"token": token, "logprob": -0.5, "bytes": list(token.encode())}
    return {**one, "top_logprobs": [one] * alternatives}


def answer(request: dict, delay_s: float, text: str | None) -> None:
    sampling = request["sampling"]
    said = (
        request["prompt"] if request.get("messages") is None else request["messages"][-1]["content"]
    )
    words = (text or f"you said {said}").split(" ")
    count = (
        sampling["max_tokens"]
        if text is None and "forever" in said
        else min(len(words), sampling["max_tokens"])
    )
    usage = {"prompt_tokens": 7, "completion_tokens": 0, "cached_tokens": 2}
    reason = "stop" if count == len(words) else "length"
    for index in range(count):
        if request["id"] in CANCELLED:
            reason = "cancelled"
            break
        time.sleep(delay_s)
        word = words[index % len(words)]
        piece = word if index == 0 else " " + word
        fields = {"ev": "c", "id": request["id"], "text": piece}
        if sampling.get("logprobs") is not None:
            fields["logprobs"] = [logprob(piece, sampling["logprobs"])]
        send(**fields)
        usage["completion_tokens"] += 1
    send(ev="end", id=request["id"], reason=reason, usage=usage)


def requests():
    pieces = []
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["op"] == "cancel":
            CANCELLED.add(message["id"])
        elif message["op"] == "media":
            pieces.append(message)
        elif message["op"] == "gen":
            yield message | {"pieces": pieces}
            pieces = []


def echo(delay_s: float = 0.0, text: str | None = None) -> None:
    ready()
    for request in requests():
        threading.Thread(target=answer, args=(request, delay_s, text), daemon=True).start()
    os._exit(0)


def on_request(attack):
    def run() -> None:
        ready()
        for request in requests():
            attack(request)

    return run


def flood(data: bytes) -> None:
    while True:
        os.write(1, data)


def endless_frames(request: dict) -> None:
    while True:
        send(ev="c", id=request["id"], text="x")


def long_text(request: dict) -> None:
    while True:
        send(ev="c", id=request["id"], text="x" * 100_000)


def after_end(request: dict) -> None:
    send(
        ev="end",
        id=request["id"],
        reason="stop",
        usage={"prompt_tokens": 1, "completion_tokens": 0},
    )
    send(ev="c", id=request["id"], text="more")


def die_midway(request: dict) -> None:
    send(ev="c", id=request["id"], text="half ")
    os.write(1, b'{"ev":"c","id":1,"te')
    os._exit(9)


def chatty() -> None:
    os.write(2, b"\x1b[31mload " * 1000)
    ready()
    threading.Thread(target=lambda: [os.write(2, b"x" * 4096) for _ in range(1000)]).start()
    for request in requests():
        answer(request, 0.0, None)


def special() -> None:
    ready()
    for request in requests():
        for piece in ("a<|im", "_end", "|>b <|im_", "st"):
            fields = {"ev": "c", "id": request["id"], "text": piece}
            alternatives = request["sampling"].get("logprobs")
            if alternatives is not None:
                fields["logprobs"] = [logprob(piece, alternatives)]
            send(**fields)
        send(
            ev="end",
            id=request["id"],
            reason="stop",
            usage={"prompt_tokens": 1, "completion_tokens": 4},
        )


def sees(request: dict) -> None:
    """Say where media stand, and what they are."""
    files: dict[int, bytes] = {}
    for piece in request["pieces"]:
        files[piece["index"]] = files.get(piece["index"], b"") + b64decode(piece["data"])
    places = [(one["content"], one.get("media", [])) for one in request["messages"]]
    told = {"places": places, "files": [b64encode(one).decode() for one in files.values()]}
    answer(request | {"sampling": {"max_tokens": 9999}}, 0, json.dumps(told))


def obeys() -> None:
    """Say what was read last; `((` and `))` become the beginning and the end of a call."""
    ready()
    for request in requests():
        said = request["messages"][-1]["content"]
        text = said.replace("((", "<tool_call>").replace("))", "</tool_call>")
        answer(request, 0.0, text)


def flood_stderr() -> None:
    while True:
        os.write(2, b"y" * 65536)


def fail_with(code: str):
    return on_request(lambda r: send(ev="fail", id=r["id"], code=code))


def tried(
    *, fickle: bool = False, whole: bool = True, greedy: bool = False, fat: bool = False,
    guarded: bool = False, image_tokens: int = 0,
):  # fmt: skip
    """Answer a trial: by default a sound vocabulary, where a tenant's `<...>` is in letters.

    With `guarded`, it refuses such a text, as a worker with a projector does.
    """

    def run() -> None:
        held = bytearray(os.urandom(1 << 20) * 96) if fat else None
        load = json.loads(sys.stdin.buffer.readline())
        ready(len(load.get("special", ())) if whole else 0)
        for number, request in enumerate(requests()):
            prompt = request.get("prompt") or ""
            if guarded and "<" in prompt:
                send(ev="fail", id=request["id"], code="special_token")
                continue
            tokens = prompt.count("<") if greedy else len(prompt)
            tokens += image_tokens * len(request["pieces"])
            fields = {"ev": "c", "id": request["id"], "text": str(number) if fickle else "one"}
            if request["sampling"].get("logprobs") is not None:
                fields["logprobs"] = [logprob("one", 1)]
            send(**fields)
            usage = {"prompt_tokens": 1 + tokens, "completion_tokens": 1}
            send(ev="end", id=request["id"], reason="length", usage=usage)
        del held

    return run


def warden(request: dict) -> None:
    """Answer as a guard model does; of what is odd it says neither."""
    text = request["messages"][-1]["content"]
    said = "\n\nunsafe\nS1" if "bad" in text else "perhaps" if "odd" in text else "Safe."
    send(ev="c", id=request["id"], text=said)
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    send(ev="end", id=request["id"], reason="stop", usage=usage)


def nothing(request: dict) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 0}
    send(ev="end", id=request["id"], reason="stop", usage=usage)


def no_number(request: dict) -> None:
    one = {"token": "x", "logprob": float("nan")}
    send(ev="c", id=request["id"], text="x", logprobs=[one])


MODES = {
    "sound": tried(),
    "fickle": tried(fickle=True),
    "letters": tried(whole=False),
    "forging": tried(greedy=True),
    "fat": tried(fat=True),
    "seeing": tried(guarded=True, image_tokens=4),
    "blind": tried(guarded=True),
    "reading": tried(image_tokens=4),
    "nothing": on_request(nothing),
    "warden": on_request(warden),
    "no_number": on_request(no_number),
    "echo": echo,
    "slow": lambda: echo(0.05),
    "paced": lambda: echo(0.01),
    "chatty": chatty,
    "special": special,
    "obeys": obeys,
    "sees": on_request(sees),
    "too_long": fail_with("context_length_exceeded"),
    "engine_error": fail_with("engine_error"),
    "forged": fail_with("special_token"),
    "bad_code": fail_with("secret text"),
    "fatal": lambda: send(ev="fatal", code="load_failed"),
    "not_sealed": lambda: send(ev="fatal", code="seal_failed"),
    "exit": lambda: os._exit(3),
    "never_ready": lambda: time.sleep(60),
    "stderr_only": flood_stderr,
    "garbage": on_request(lambda _: os.write(1, b"\xff\xfe garbage\n")),
    "long_line": on_request(lambda _: flood(b"A" * 65536)),
    "endless": on_request(endless_frames),
    "long_text": on_request(long_text),
    "wrong_id": on_request(lambda r: send(ev="c", id=r["id"] + 77, text="x")),
    "after_end": on_request(after_end),
    "ready_twice": on_request(lambda _: ready()),
    "silent": on_request(lambda _: None),
    "stop_itself": on_request(lambda _: os.kill(os.getpid(), signal.SIGSTOP)),
    "die": on_request(lambda _: os._exit(9)),
    "die_midway": on_request(die_midway),
    "surrogate": on_request(lambda r: send(ev="c", id=r["id"], text="\ud800")),
    "unasked_logprobs": on_request(
        lambda r: send(ev="c", id=r["id"], text="x", logprobs=[logprob("x", 1)])
    ),
    "bad_usage": on_request(
        lambda r: send(
            ev="end",
            id=r["id"],
            reason="stop",
            usage={"prompt_tokens": 1, "completion_tokens": 10**9},
        )
    ),
    "false_cancel": on_request(
        lambda r: send(
            ev="end",
            id=r["id"],
            reason="cancelled",
            usage={"prompt_tokens": 1, "completion_tokens": 1},
        )
    ),
    "forget_cancel": on_request(lambda r: send(ev="c", id=r["id"], text="x")),
}


if __name__ == "__main__":
    MODES[sys.argv[1]]()
