"""Fuzz every target for a while; an input that breaks a property is kept in tests/regressions.

    make fuzz                                     FUZZ_SECONDS (default 20) for each target
    .venv/bin/python fuzz/run.py --only gguf      one target

Exit code 1 if any property was broken. Atheris (coverage-guided) runs each target in a process of
its own, because libFuzzer ends the process; where it is not installed, seeds are mutated blindly.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

REGRESSIONS = ROOT / "tests" / "regressions"
_INPUT_BYTES = 65536
_ONE_INPUT_SECONDS = 10
_MEMORY_MIB = 2048


def main() -> int:
    """Fuzz; return the exit code."""
    parser = argparse.ArgumentParser(description="Feed broken bytes to every parser.")
    parser.add_argument("--only", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("FUZZ_SECONDS", "20")))
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)  # of the child process
    options = parser.parse_args()
    if options.corpus:
        run_atheris(options.only, options.seconds, options.corpus)
    from fuzz.targets import TARGETS

    names = [options.only] if options.only else list(TARGETS)
    guided = importlib.util.find_spec("atheris") is not None
    broken = 0
    for name in names:
        how = "atheris" if guided else "blind mutation"
        print(f"{name}: {options.seconds} s, {how} ...", flush=True)
        found = guide(name, options.seconds) if guided else blind(name, options.seconds)
        for data in found:
            broken += 1
            kept = REGRESSIONS / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
            kept.write_bytes(data)
            print(f"{name}: property broken; the input is in {kept.relative_to(ROOT)}")
    print(f"{len(names)} targets, {broken} broken")
    return 1 if broken else 0


def guide(name: str, seconds: int) -> list[bytes]:
    """Run atheris in a child process and return what it found."""
    from fuzz.targets import TARGETS

    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(TARGETS[name].seeds):
            Path(corpus, f"seed-{number}").write_bytes(seed)
        done = subprocess.run(
            [sys.executable, __file__, "--only", name, "--seconds", str(seconds),
             "--corpus", str(corpus)],
            check=False, capture_output=True, text=True, cwd=folder,
        )  # fmt: skip
        artifacts = [p for p in Path(folder).iterdir() if p.is_file()]
        if done.returncode:
            progress = ("#", "NEW", "INFO")
            said = [li for li in done.stderr.splitlines() if not li.startswith(progress)]
            print(done.stdout[-2000:], *said[-40:], sep="\n")
            if not artifacts:
                raise SystemExit(f"{name}: the fuzzer itself failed ({done.returncode})")
        last = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
        print(f"{name}: {last[0] if last else 'ended early'}")
        return [path.read_bytes() for path in artifacts]


def run_atheris(name: str, seconds: int, corpus: Path) -> None:
    """Fuzz in this process, which libFuzzer then ends."""
    import atheris

    with atheris.instrument_imports(include=["corral"], enable_loader_override=False):
        from fuzz.targets import TARGETS

    flags = [
        f"-max_total_time={seconds}", f"-max_len={_INPUT_BYTES}", f"-timeout={_ONE_INPUT_SECONDS}",
        f"-rss_limit_mb={_MEMORY_MIB}", "-artifact_prefix=./",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *flags, str(corpus)], TARGETS[name].check)
    atheris.Fuzz()


def blind(name: str, seconds: int) -> list[bytes]:
    """Fuzz by mutation in this process."""
    from fuzz.mutation import fuzz_blindly
    from fuzz.targets import TARGETS

    found = fuzz_blindly(TARGETS[name], seconds)
    return [] if found is None else [found]


if __name__ == "__main__":
    sys.exit(main())
