"""The default driver: llama.cpp in process, by the `xllamacpp` wheel.

Trust: runs in the jail, in one process with hostile code; nothing it says is believed outside.
Input: requests of the gateway, already bounded; the model file, admitted but hostile.

Images and sounds come as base64 in memory, and go by the chat route, which alone takes them. An
engine that fails to decode one would start `ffprobe`: a sealed worker can start nothing.

Engine defaults that share state across conversations are off (research/isolation.md, section 0):
the RAM prompt cache, idle-slot saving and the /slots endpoint. Prefix reuse inside a slot stays:
one worker serves one tenant only.
"""

from __future__ import annotations

import os

from corral.engine.drivers.extension_unsafe import load_extension
from corral.engine.drivers.interface import ConversationError, MediaError
from corral.engine.drivers.tokeniser_unsafe import Tokeniser
from corral.engine.media_prompt import MediaPrompts
from corral.engine.plain_json import encode
from corral.engine.prompt_ids import PromptError, PromptIds
from corral.engine.sample_image import SAMPLE_PNG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from corral.engine.drivers.interface import EngineOptions, OnChunk

_PREFILL_BATCH: Final = 128
"""Prompt tokens between two looks at `cancelled`: a disconnect must free the slot in a second."""
_IMAGE_BATCH: Final = 256
"""Tokens of an image of Gemma 3, which look at each other: all of them in one step."""
_CHECKPOINTS: Final = 2
"""Enough for the next turn of a conversation; `admission.estimate` counts them."""

_WORD_BYTES: Final = 16
_MARKER: Final = "LLAMA_MEDIA_MARKER"
"""Where the engine is told, once in its life, what stands for an image in a prompt."""
_PNG: Final = "iVBORw0KGgoAAAANSUhEU"
"""How the signature of a PNG, and its first chunk, begin in base64."""
_ONE_TOKEN: Final = {"max_tokens": 1, "temperature": 0, "top_k": 1}


class XllamacppEngine:
    """llama.cpp; see `drivers.interface`.

    Raises:
        ImportError: the engine is not installed.
    """

    def __init__(self) -> None:
        self._engine, version = load_extension()
        self._tokeniser = Tokeniser(self._engine.__file__)
        # Now, because there is no randomness in a sealed worker.
        self._word = os.urandom(_WORD_BYTES).hex()
        self._shown = f"x{os.urandom(_WORD_BYTES).hex()}"
        self._marker = os.environ.setdefault(_MARKER, f"m{os.urandom(_WORD_BYTES).hex()}")
        self._prompts: PromptIds
        self._sees = False
        self.name = f"xllamacpp {version}"

    def load(self, options: EngineOptions) -> None:
        """Load the model and make one token of it."""
        engine = self._engine
        if not options.template:
            raise ValueError("no chat template: the engine would take the file's own")
        params = engine.CommonParams()
        # With a template given, llama.cpp looks at none of the file, named ones included.
        params.chat_template = self._showing(options.template)
        params.use_jinja = True
        params.model.path = options.model_path
        if options.adapter:
            params.lora_adapters = [engine.CommonAdapterLoraInfo(*options.adapter)]
        if options.projector:
            params.mmproj.path = options.projector
            self._sees = True
        params.n_ctx = options.context_tokens * options.parallel
        params.n_parallel = options.parallel
        params.kv_unified = False
        params.cpuparams.n_threads = options.threads
        params.cpuparams_batch.n_threads = options.threads
        batch = _IMAGE_BATCH if options.projector else _PREFILL_BATCH
        params.n_batch = max(batch, options.parallel)
        params.n_ubatch = params.n_batch
        params.fit_params = False
        # A listener it must have: an abstract socket, in the jail's own network namespace, where
        # nobody else is. So the load needs no right to make or remove anything in a folder.
        params.hostnames = [f"@engine-{os.getpid()}.sock"]
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

    def _showing(self, template: str) -> str:
        """Return a template that can be asked for what it renders.

        The engine renders only to answer. With a variable whose name nobody can guess the template
        ends in an error, whose text is what it rendered; else it is what it was. With another one,
        it renders that one's value: a prompt that was rendered and proven before. A line feed at
        its end is not part of a template; at the beginning of a block it would not be either.
        """
        name = self._shown
        return (
            f"{{% if {name}p is defined %}}{{{{ {name}p }}}}{{% else %}}"
            f"{{% set {name}s %}}{{{{ '' }}}}{template.removesuffix(chr(10))}{{% endset %}}"
            f"{{% if {name} is defined %}}"
            f"{{{{ raise_exception('{name}' ~ {name}s ~ '{name[:1]}') }}}}"
            f"{{% endif %}}{{{{ {name}s }}}}{{% endif %}}"
        )

    def _warm_up(self) -> None:
        """Compute something: OpenMP's threads exist only once the engine's own thread has.

        It is the beginning that the template gives every conversation, so that the first one finds
        it in a slot's cache, and the slot's sampler (12 bytes for each word of the vocabulary)
        is not one that no request uses.
        """
        text = {"prompt": "a", **_ONE_TOKEN}
        self._tokeniser.learn(lambda: self._server.handle_completions(encode(text), _ignore))
        if self._sees:
            self._prompts = MediaPrompts(self._tokeniser, self._word, self._marker)
        else:
            self._prompts = PromptIds(self._tokeniser, self._word)
        beginning = {"messages": [{"role": "user", "content": ""}], **_ONE_TOKEN}
        try:
            self.chat(beginning, [], _ignore)
        except (RuntimeError, PromptError):  # not every template takes a message without text
            self.complete(text, _ignore)
        if self._sees:
            self._look(self._marker, [SAMPLE_PNG], _ONE_TOKEN, _ignore)

    def is_special(self, text: str) -> bool:
        """Return whether a text is one special token, where such are looked for."""
        return self._prompts.is_special(text)

    def chat(self, body: dict[str, Any], media: list[str], on_chunk: OnChunk) -> None:
        """Answer a chat; `on_chunk` gets each chunk and returns True to stop."""
        if media and not (self._sees and all(one.startswith(_PNG) for one in media)):
            raise MediaError
        prompts, messages = self._prompts, body["messages"]
        neutral = self._rendered(prompts.neutral(messages))
        prompt = prompts.of_chat(messages, neutral, self._rendered(prompts.marked(messages)))
        asked = {name: value for name, value in body.items() if name != "messages"}
        if media:
            self._look(str(prompt), media, asked, on_chunk)
        else:
            self._answer({**asked, "prompt": prompt}, on_chunk)

    def _look(
        self, prompt: str, media: list[str], asked: dict[str, Any], on_chunk: OnChunk
    ) -> None:
        """Answer a prompt with an image for each marker in it."""
        url = "data:image/png;base64,"
        parts = [{"type": "image_url", "image_url": {"url": url + one}} for one in media]
        body = {
            **asked,
            "messages": [{"role": "user", "content": parts}],
            "chat_template_kwargs": {f"{self._shown}p": prompt},
        }
        self._server.handle_chat_completions(encode(body), on_chunk)

    def complete(self, body: dict[str, Any], on_chunk: OnChunk) -> None:
        """Continue a text; `on_chunk` gets each chunk and returns True to stop."""
        self._answer({**body, "prompt": self._prompts.of_text(body["prompt"])}, on_chunk)

    def _rendered(self, messages: list[dict[str, Any]]) -> bytes:
        """Return what the template makes of a conversation.

        Raises:
            ConversationError: it refuses this one.
        """
        body = {"messages": messages, "chat_template_kwargs": {self._shown: True}, **_ONE_TOKEN}
        try:
            self._server.handle_chat_completions(encode(body), _ignore)
        except (RuntimeError, ValueError) as error:  # the engine's own word, and the template's
            # The engine says where in the template that was, and then what was said.
            _, begin, said = str(error).rpartition(f": {self._shown}")
            if begin and said.endswith(self._shown[:1]):
                return said[:-1].encode()
        raise ConversationError

    def _answer(self, body: dict[str, Any], on_chunk: OnChunk) -> None:
        # Asked with bytes, the engine answers with bytes: 60 us less for each token than its dicts.
        self._server.handle_completions(encode(body), on_chunk)


def _ignore(_: bytes) -> bool:
    return False
