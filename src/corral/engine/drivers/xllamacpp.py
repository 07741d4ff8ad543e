"""The default driver: llama.cpp in process, by the `xllamacpp` wheel.

Trust: runs in the jail, in one process with hostile code; nothing it says is believed outside.
Input: requests of the gateway, already bounded; the model file, admitted but hostile.

Engine defaults that share state across conversations are off (research/isolation.md, section 0):
the RAM prompt cache, idle-slot saving and the /slots endpoint. Prefix reuse inside a slot stays:
one worker serves one tenant only.
"""

from __future__ import annotations

from corral.engine.drivers.extension_unsafe import load_extension
from corral.engine.plain_json import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from corral.engine.drivers.interface import EngineOptions, OnChunk

_PREFILL_BATCH: Final = 128
"""Prompt tokens between two looks at `cancelled`: a disconnect must free the slot in a second."""
_CHECKPOINTS: Final = 2
"""Enough for the next turn of a conversation; `admission.estimate` counts them."""

_ONE_TOKEN: Final = {"max_tokens": 1, "temperature": 0, "top_k": 1}


class XllamacppEngine:
    """llama.cpp; see `drivers.interface`.

    Raises:
        ImportError: the engine is not installed.
    """

    def __init__(self) -> None:
        self._engine, version = load_extension()
        self.name = f"xllamacpp {version}"

    def load(self, options: EngineOptions) -> None:
        """Load the model and make one token of it."""
        engine = self._engine
        if not options.template:
            raise ValueError("no chat template: the engine would take the file's own")
        params = engine.CommonParams()
        # With a template given, llama.cpp looks at none of the file, named ones included.
        params.chat_template = options.template
        params.use_jinja = True
        params.model.path = options.model_path
        if options.adapter:
            params.lora_adapters = [engine.CommonAdapterLoraInfo(*options.adapter)]
        params.n_ctx = options.context_tokens * options.parallel
        params.n_parallel = options.parallel
        params.kv_unified = False
        params.cpuparams.n_threads = options.threads
        params.cpuparams_batch.n_threads = options.threads
        params.n_batch = max(_PREFILL_BATCH, options.parallel)
        params.n_ubatch = params.n_batch
        params.fit_params = False
        # A listener it must have: an abstract socket, in the jail's own network namespace, where
        # nobody else is. So the load needs no right to make or remove anything in a folder.
        params.hostnames = ["@engine.sock"]
        params.n_threads_http = 1
        params.ui = False
        params.endpoint_slots = False
        params.endpoint_props = False
        params.endpoint_metrics = False
        params.cache_ram_mib = 0
        params.cache_idle_slots = False
        # Copies of windows and recurrent state, up to 32 of each slot by default.
        params.n_ctx_checkpoints = _CHECKPOINTS
        params.ctx_shift = False
        # Text goes out as the model made it; nothing is split off into other fields.
        params.force_pure_content_parser = True
        params.reasoning_format = engine.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
        params.verbosity = 1
        params.warmup = True
        self._server = engine.Server(params)
        self._warm_up()

    def _warm_up(self) -> None:
        """Compute something: OpenMP's threads exist only once the engine's own thread has.

        It is the beginning that the template gives every conversation, so that the first one finds
        it in a slot's cache, and the slot's sampler (12 bytes for each word of the vocabulary)
        is not one that no request uses.
        """
        beginning = {"messages": [{"role": "user", "content": ""}], **_ONE_TOKEN}
        try:
            self.chat(beginning, lambda _: False)
        except RuntimeError:  # not every template takes a message without text
            self.complete({"prompt": [0], **_ONE_TOKEN}, lambda _: False)

    def chat(self, body: dict[str, Any], on_chunk: OnChunk) -> None:
        """Answer a chat; `on_chunk` gets each chunk and returns True to stop."""
        # Asked with bytes, the engine answers with bytes: 60 us less for each token than its dicts.
        self._server.handle_chat_completions(encode(body), on_chunk)

    def complete(self, body: dict[str, Any], on_chunk: OnChunk) -> None:
        """Continue a text; `on_chunk` gets each chunk and returns True to stop."""
        self._server.handle_completions(encode(body), on_chunk)
