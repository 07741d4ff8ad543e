"""The bare engine and one schema, in a process of its own: it may end, or never answer.

argv: model. stdin: JSON of `template` and `schema`. stdout: the answer, if there is one.
"""

import json
import os
import sys
from pathlib import Path

from tests.support.bare_engine_unsafe import BareEngine

if __name__ == "__main__":
    asked = json.load(sys.stdin)
    engine = BareEngine(Path(sys.argv[1]), asked["template"])
    said = engine.complete("About the sea: ", json_schema=asked["schema"], max_tokens=12)
    sys.stdout.write(said)
    sys.stdout.flush()
    os._exit(0)
