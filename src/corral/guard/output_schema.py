"""An answer that is to be JSON of a schema: is it, as it goes out?

Trust: gateway [net]; pure. Input: a hostile answer, at the end of its way out. The engine was told
the schema, and is not believed: one that cannot work with it goes on without it and says nothing.
What a policy takes out of an answer may break it, too. So the text is looked at that the caller
gets, once, when it is whole.
"""

from __future__ import annotations

from corral.guard.json_schema import ANSWER_CHARACTERS_MAX, Schema
from corral.guard.output_judge import OutputJudge


class SchemaWatch:
    """One answer.

    Args:
        schema: of the request.
        judge: of the answer; it learns of `schema_mismatch`.
    """

    def __init__(self, schema: Schema, judge: OutputJudge) -> None:
        self._schema = schema
        self._judge = judge
        self._texts: list[str] = []
        self._characters = 0

    def hear(self, text: str) -> None:
        """Take what goes out; one that is too long to be looked at ends here."""
        if self._judge.stopped is not None:
            return
        self._texts.append(text)
        self._characters += len(text)
        if self._characters > ANSWER_CHARACTERS_MAX:
            self._judge.found("schema_mismatch")

    def close(self) -> None:
        """Look at the whole answer, which the engine says it is."""
        if self._judge.stopped is not None:
            return
        if self._schema.check_text("".join(self._texts)) is not None:
            self._judge.found("schema_mismatch")
