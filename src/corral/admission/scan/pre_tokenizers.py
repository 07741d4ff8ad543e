"""Names of the ways in which llama.cpp splits a text before it looks tokens up.

Trust: scan jail; data. The engine refuses an unknown name when it loads (`llama-vocab.cpp`,
`unknown pre-tokenizer type`); a name that is not here is refused before.
"""

from __future__ import annotations

from typing import Final

PRE_TOKENIZERS: Final = frozenset(
    """
    a.x-4.0 afmoe bailingmoe bailingmoe-2 bailingmoe2 bloom chameleon chatglm-bpe codeshell
    cohere2moe command-r cosmos-reason2 dbrx deepseek-coder deepseek-llm deepseek-r1-qwen
    deepseek-v3 default exaone exaone-moe exaone4 f2llmv2 falcon falcon-h1 falcon3 gemma4 gigachat
    glm4 glm5 gpt-2 gpt-4o gpt3-finnish granite-docling granite-embed-multi-311m
    granite-embed-multi-97m grok-2 hunyuan hunyuan-dense hy_v4 jais jais-2 jina-de jina-es
    jina-v1-en jina-v2-code jina-v2-de jina-v2-es jina-v5-nano joyai-llm kanana2 kimi-k2 kormo
    laguna lfm2 llada-moe llama-bpe llama-v3 llama3 llama4 megrez mellum mellum2 midm-2.0
    minerva-7b minicpm5 minimax-m2 mmbert modern-bert mpt nemotron olmo phi-2 pixtral poro-chat
    qwen2 qwen35 refact roberta-bpe sarvam-moe seed-coder smaug-bpe smollm solar-open spark2_5
    stablelm2 starcoder superbpe talkie tekken tiny_aya trillion ufakzeka viking youtu
    """.split()  # noqa: SIM905 - a hundred quoted names are harder to read
)
UNUSED: Final = frozenset({"bert-bge", "bert-bge-large", "llama-spm", "nomic-bert-moe", "phi-3"})
"""Names that converters write where the engine does not split."""
