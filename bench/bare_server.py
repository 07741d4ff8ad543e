"""The engine bare: xllamacpp's own HTTP server on loopback; no TLS, no keys, no sandbox.

It has the model, context, slots, threads and batch size of corral's worker; everything else stays
as the engine has it by default. Prints one JSON line when it serves; ends with its stdin.

    bare_server.py MODEL CONTEXT_TOKENS PARALLEL THREADS BATCH_TOKENS VERBOSITY
"""

from __future__ import annotations

import json
import os
import sys

import xllamacpp


def main() -> None:
    """Serve until stdin ends."""
    model, context_tokens, parallel, threads, batch_tokens, verbosity = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = int(context_tokens) * int(parallel)
    params.n_parallel = int(parallel)
    params.cpuparams.n_threads = int(threads)
    params.cpuparams_batch.n_threads = int(threads)
    params.n_batch = int(batch_tokens)
    params.n_ubatch = int(batch_tokens)
    params.verbosity = int(verbosity)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    server = xllamacpp.Server(params)
    sys.stdout.write(json.dumps({"url": server.listening_address, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
