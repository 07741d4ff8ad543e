"""Every fuzz target by name."""

from __future__ import annotations

from fuzz.target import Target
from fuzz.targets import (
    authentication,
    chat,
    config,
    fetch,
    framing,
    gguf,
    gguf_set,
    hold_back,
    json_schema,
    lock_file,
    merge_plan,
    policy,
    report,
    signature,
    source,
    template,
    way_out,
    wire,
)

TARGETS: dict[str, Target] = {
    module.TARGET.name: module.TARGET
    for module in (
        framing,
        wire,
        gguf,
        gguf_set,
        report,
        hold_back,
        way_out,
        chat,
        authentication,
        fetch,
        source,
        config,
        policy,
        lock_file,
        merge_plan,
        template,
        signature,
        json_schema,
    )
}
