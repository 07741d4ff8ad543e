"""A detector without a model: a text's score is the number in it, such as `score=0.95`.

Run as a program by `fake_launcher`; the mode says how it misbehaves.
"""

import json
import re
import sys
import time

COUNTS = {"asked": 0}


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def main(mode: str) -> None:
    if mode == "unfit":
        say(said="failed", code="detector_untrustworthy")
        return
    if mode == "dumb":
        time.sleep(600)
    say(said="ready", name="fake", flag=0.5, block=0.9)
    for line in sys.stdin.buffer:
        question = json.loads(line)
        COUNTS["asked"] += 1
        print("noise " * 100, file=sys.stderr, flush=True)
        if mode == "dies":
            return
        if mode == "flood":
            sys.stdout.write("x" * 100_000)
            sys.stdout.flush()
        number = question["id"] + (mode == "confused")
        found = re.search(r"score=([0-9.]+)", question["text"])
        score = float(found[1]) if found else 0.01
        if mode == "counts":
            score = COUNTS["asked"] / 100
        if mode == "slow":
            time.sleep(0.5)
        say(said="score", id=number, score=score, view="raw")


if __name__ == "__main__":
    main(sys.argv[1])
