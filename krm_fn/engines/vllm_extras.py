"""vLLM's flags for what a service asks of it beside the model.

Facts: vllm/engine/arg_utils.py, 0.9 to 0.33.
"""

import json
from dataclasses import replace

from krm_fn.catalog.shape import ModelShape
from krm_fn.engines import versions
from krm_fn.engines.since import Since, at, number
from krm_fn.planner.extras import Extras, Lora, LoraRules

NEEDS = {
    "multimodal.textOnly": "--language-model-only",
    "multimodal.limits": "--limit-mm-per-prompt",
}
"""Fields of `spec.serving` and the flag without which a version does not have them."""
PREFIX_CACHING = {
    True: ("--enable-prefix-caching",),
    False: ("--no-enable-prefix-caching",),
    None: (),
}


RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
LORA: tuple[Since[LoraRules], ...] = (
    Since(
        since=(0, 17, 1),
        value=LoraRules(
            ranks=(1, *RANKS),
            most_vocab=258048,
            source="vllm/lora/layers, config/lora.py:MaxLoRARanks, 0.17.1-0.33",
        ),
    ),
    Since(
        since=(0, 12),
        value=LoraRules(
            ranks=(1, *RANKS), most_vocab=257024, source="vllm/lora/layers, 0.12.0 and 0.16.0"
        ),
    ),
    Since(
        since=(0, 11, 1),
        value=LoraRules(
            ranks=(1, *RANKS),
            most_vocab=257024,
            extra_vocab=256,
            source="vllm/lora/layers, fused_moe.py:FusedMoEWithLoRA, 0.11.2",
        ),
    ),
    Since(
        value=LoraRules(
            ranks=RANKS,
            most_vocab=257024,
            extra_vocab=256,
            experts=False,
            source="vllm/lora/layers.py, config.py:LoRAConfig, 0.9.0-0.11.0",
        ),
    ),
)


def lora_rules(version: str, shape: ModelShape) -> LoraRules | None:
    """The rules for a model; None = its class takes no adapters (SupportsLoRA)."""
    name = shape.architecture
    if name not in versions.architectures_in("vllm", version, "adapters"):
        return None
    return replace(
        at(LORA, number(version)),
        ends=name in versions.architectures_in("vllm", version, "ends"),
        fused_experts=name in versions.architectures_in("vllm", version, "fused_experts"),
    )


def args(extras: Extras) -> tuple[str, ...]:
    """One element per flag; nothing where nothing is asked for."""
    wanted = {
        "--language-model-only": extras.text_only,
        f"--limit-mm-per-prompt={json.dumps(dict(extras.limits))}": extras.limits,
    }
    flags = (flag for flag, on in wanted.items() if on)
    lora = lora_args(extras.lora) if extras.lora else ()
    return (*PREFIX_CACHING[extras.prefix_caching], *flags, *lora)


def lora_args(lora: Lora) -> tuple[str, ...]:
    modules = tuple(f"{name}={source}" for name, source in lora.adapters)
    return (
        "--enable-lora",
        f"--max-loras={lora.max_loras}",
        f"--max-lora-rank={lora.max_rank}",
        f"--max-cpu-loras={lora.loaded}",
        *(("--lora-modules", *modules) if modules else ()),
    )
