"""What kept a verb from its end, as an error with a code; also what nobody foresaw.

Trust: operator side. Input: any exception. The message of a foreign exception may hold anybody's
text or a secret, so it is never printed; the traceback is only for who asks for it by name.
"""

from __future__ import annotations

import os
import traceback
from typing import Final

from corral.core.errors import CorralError

INTERNAL_EXIT: Final = 70
"""Exit code of `internal_error` (EX_SOFTWARE of sysexits.h): no verb means anything else by it."""
TRACEBACK: Final = "CORRAL_TRACEBACK"
"""Environment variable: `1` prints the traceback of an internal error on stderr."""


def typed_failure(error: Exception) -> CorralError:
    """Return what is printed of an exception."""
    if isinstance(error, CorralError):
        return error
    if isinstance(error, PermissionError):
        return CorralError(
            "no_permission",
            "this user may not read or change a file that this needs",
            remedy="run as the owner of the state folder, or name a folder of your own with --home",
        )
    return CorralError(
        "internal_error",
        "corral failed in a way that nobody foresaw; this is a defect of corral",
        remedy=f"report it with what this prints: {TRACEBACK}=1 and the same command",
    )


def exit_code(error: CorralError) -> int:
    """Return the exit code of a verb that failed."""
    return INTERNAL_EXIT if error.code == "internal_error" else 1


def traceback_for_who_asks(error: Exception, failure: CorralError) -> str:
    """Return the traceback of an internal error if the environment asks for it, else nothing."""
    if failure.code != "internal_error" or os.environ.get(TRACEBACK) != "1":
        return ""
    return "".join(traceback.format_exception(error))
