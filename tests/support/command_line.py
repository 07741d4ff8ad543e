"""What a run of the command line printed and returned."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def error_code(self) -> str:
        return str(self.document["error"]["code"])


Corral = Callable[..., Outcome]
