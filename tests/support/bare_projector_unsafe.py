"""Show one image to llama.cpp without corral, in a process that it may end: MODEL PROJECTOR.

Trust: tests only.
"""

from __future__ import annotations

import json
import os
import resource
import sys

import xllamacpp.xllamacpp as engine

from corral.engine.sample_image import SAMPLE_PNG

_MEMORY_BYTES = 6 << 30


def main() -> None:
    model, projector = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    params = engine.CommonParams()
    params.model.path, params.mmproj.path = model, projector
    params.n_ctx, params.n_parallel, params.use_jinja = 512, 1, True
    params.hostnames = [f"@bare-{os.getpid()}.sock"]
    params.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    server = engine.Server(params)
    image = {"url": f"data:image/png;base64,{SAMPLE_PNG}"}
    content = [{"type": "image_url", "image_url": image}]
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 1}
    said: list[bytes] = []
    server.handle_chat_completions(json.dumps(body).encode(), said.append)
    sys.stdout.write(json.dumps(json.loads(said[-1])["usage"]))
    sys.stdout.flush()
    os._exit(0)  # its threads may be in whatever state


if __name__ == "__main__":
    main()
