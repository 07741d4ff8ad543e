"""One pull in a process of its own, without jails: prints each stage, then how it ended.

python -m tests.support.pulling HOME SOURCE NAME HOST [SHA256]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from corral.admission.expectation import Expectation
from corral.admission.pull import pull_model
from corral.admission.trial import TrialResult, installed_engine
from corral.admission.trusted_model import Estimated
from corral.core.config import Config, Fetch
from corral.core.errors import CorralError
from corral.core.home import Home
from tests.support.bare_jobs import bare_jobs


class _Trial:
    def load(self, model: Estimated) -> TrialResult:
        return TrialResult(ok=True, code="", engine=installed_engine())


def say(**words: object) -> None:
    print(json.dumps(words), flush=True)


def main() -> None:
    root, source, name, host, *sha256 = sys.argv[1:]
    home = Home(Path(root))
    with bare_jobs(home) as launcher:
        try:
            entry = pull_model(
                source,
                home=home,
                config=Config(fetch=Fetch(hosts=(), private_hosts=(host,))),
                launcher=launcher,
                trial=_Trial(),
                expect=Expectation.parse(sha256=sha256[0] if sha256 else None),
                name=name,
                progress=lambda stage, done, total: say(stage=stage, done=done, total=total),
            )
        except CorralError as error:
            say(code=error.code)
        else:
            say(digest=entry.digest, trust=entry.trust, fetched_at=entry.receipt.fetched_at)


if __name__ == "__main__":
    main()
