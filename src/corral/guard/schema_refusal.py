"""Why a schema is not taken, and where.

Trust: gateway [net]; pure. Nothing of a caller's schema is in it but places, counted by numbers.
"""

from __future__ import annotations

from corral.core.errors import CorralError


class SchemaError(CorralError):
    """A schema that is not taken.

    Attributes:
        param: the place, such as `response_format.json_schema.schema.properties[2].items`.
    """

    def __init__(self, code: str, message: str, param: str) -> None:
        super().__init__(code, message)
        self.param = param


def refused(param: str, why: str) -> SchemaError:
    """Return the refusal of a schema."""
    return SchemaError("invalid_schema", f"the schema is not taken: {why}", param)
