"""SGLang's flags for what a service asks of it beside the model.

Facts: sglang/srt/server_args.py, 0.4.9 to 0.5.23.
"""

import json

from krm_fn.catalog.shape import Attention, ModelShape
from krm_fn.engines.since import Since, at, number
from krm_fn.planner.extras import Extras, Lora, LoraRules

NEEDS = {
    "multimodal.textOnly": "--language-model-only",
    "multimodal.limits": "--limit-mm-data-per-request",
}
"""Fields of `spec.serving` and the flag without which a version does not have them."""


TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Stated, so that the slots do not depend on what the adapters happen to use."""
_SOURCE = "sglang/srt/lora/mem_pool.py:init_buffers"
LORA: tuple[Since[LoraRules], ...] = (
    Since(
        since=(0, 5, 10),
        value=LoraRules(
            base_slots=1, router=False, every_stage=True, source=f"{_SOURCE}, 0.5.10-0.5.23"
        ),
    ),
    Since(
        value=LoraRules(
            base_slots=1,
            router=False,
            every_stage=True,
            experts=False,
            source=f"{_SOURCE}, 0.4.9-0.5.9",
        )
    ),
)
"""A batch without an adapter takes a slot too ("include base-only request", server_args.py)."""


def lora_rules(version: str, shape: ModelShape) -> LoraRules | None:
    """The rules for a model; None = its layers are not those of TARGETS, or experts came later."""
    rules = at(LORA, number(version))
    usual = all(isinstance(layer.mixer, Attention) and not layer.parallel for layer in shape.layers)
    return rules if usual and (rules.experts or not shape.is_moe) else None


def args(extras: Extras) -> tuple[str, ...]:
    """One element per flag; nothing where nothing is asked for."""
    wanted = {
        "--disable-radix-cache": extras.prefix_caching is False,
        "--language-model-only": extras.text_only,
        f"--limit-mm-data-per-request={json.dumps(dict(extras.limits))}": extras.limits,
    }
    flags = (flag for flag, on in wanted.items() if on)
    return (*flags, *(lora_args(extras.lora) if extras.lora else ()))


def lora_args(lora: Lora) -> tuple[str, ...]:
    paths = tuple(f"{name}={source}" for name, source in lora.adapters)
    return (
        "--enable-lora",
        f"--max-loras-per-batch={lora.slots}",
        f"--max-lora-rank={lora.max_rank}",
        "--lora-target-modules",
        *TARGETS,
        *(("--lora-paths", *paths) if paths else ()),
    )
