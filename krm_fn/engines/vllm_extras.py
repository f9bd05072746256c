"""vLLM's flags for what a service asks of it beside the model.

Facts: vllm/engine/arg_utils.py, 0.9 to 0.33.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from krm_fn.catalog.architectures.multimodal import TOWERS
from krm_fn.catalog.shape import ModelShape
from krm_fn.engines import versions
from krm_fn.engines.since import Since, at, number
from krm_fn.planner.cache_spec import Kind
from krm_fn.planner.extras import (
    Draft,
    DraftRules,
    Extras,
    Lora,
    LoraRules,
    Method,
    Offload,
    OffloadRules,
)
from krm_fn.units import GIB

NEEDS = {
    "multimodal.textOnly": "--language-model-only",
    "multimodal.limits": "--limit-mm-per-prompt",
    "kvOffload": "--kv-offloading-size",
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
    """The rules for a model; None = its class takes no adapters (SupportsLoRA). The ends of a
    multimodal model are those of its text part.
    """
    name = shape.architecture
    tower = TOWERS.get(name)
    text = tower.text if tower else name
    if name not in versions.architectures_in("vllm", version, "adapters"):
        return None
    return replace(
        at(LORA, number(version)),
        ends=text in versions.architectures_in("vllm", version, "ends"),
        fused_experts=name in versions.architectures_in("vllm", version, "fused_experts"),
    )


_ALL: tuple[Kind, ...] = ("full", "window", "chunk", "state")
OFFLOAD: tuple[Since[OffloadRules], ...] = (
    Since(
        since=(0, 27),
        value=OffloadRules(
            kinds=_ALL, shared=True, source="kv_offload/cpu/shared_offload_region.py, 0.27-0.33"
        ),
    ),
    Since(
        since=(0, 22),
        value=OffloadRules(kinds=_ALL, source="kv_offload/cpu/spec.py, 0.22-0.26"),
    ),
    Since(
        value=OffloadRules(
            kinds=("full", "window", "chunk"), in_full=True, source="kv_offload, 0.11.2-0.21"
        ),
    ),
)


def offload_rules(version: str, vendor: str) -> OffloadRules:
    """The native connector's; its file in /dev/shm is for CUDA only (kv_offload/cpu/spec.py)."""
    rules = at(OFFLOAD, number(version))
    return replace(rules, shared=rules.shared and vendor == "nvidia")


_MTP = "vllm/config/speculative.py:hf_config_override, model_executor/models/{}, {} to 0.33"
_DEEPSEEK = DraftRules(queries=True, source=_MTP.format("deepseek_mtp.py", "0.11"))
_QWEN = DraftRules(sharded=True, queries=True, source=_MTP.format("qwen3_next_mtp.py", "0.11"))
MTP: Mapping[str, Since[DraftRules]] = {
    "DeepseekV3ForCausalLM": Since(since=(0, 11), value=_DEEPSEEK),
    "DeepseekV32ForCausalLM": Since(since=(0, 11), value=_DEEPSEEK),
    "GlmMoeDsaForCausalLM": Since(since=(0, 16), value=_DEEPSEEK),
    "Glm4MoeForCausalLM": Since(since=(0, 11), value=_DEEPSEEK),
    "MiMoForCausalLM": Since(since=(0, 11), value=_DEEPSEEK),
    "Qwen3NextForCausalLM": Since(since=(0, 11), value=_QWEN),
    "Qwen3_5ForConditionalGeneration": Since(since=(0, 17, 1), value=_QWEN),
    "Qwen3_5MoeForConditionalGeneration": Since(since=(0, 17, 1), value=_QWEN),
}
"""Architectures whose draft layers are like their last one; `"method": "mtp"` came with 0.11."""
HEADS_IN_LAYERS = ("Deepseek", "Glm")
"""Their MTP layers had an output head each until 0.16 shared it (shared_head)."""
DRAFTS: Mapping[Method, Since[DraftRules]] = {
    "ngram": Since(
        since=(0, 9), value=DraftRules(queries=True, source="v1/spec_decode/ngram_proposer.py")
    ),
    "eagle3": Since(
        since=(0, 10),
        value=DraftRules(queries=True, source="model_executor/models/llama_eagle3.py, 0.10-0.33"),
    ),
    "draft": Since(
        since=(0, 15, 1),
        value=DraftRules(queries=True, source="v1/spec_decode/draft_model.py, 0.15.1-0.33"),
    ),
}
"""Other methods and the version from which the V1 engine has them."""
METHODS = {"draft": "draft_model"}


def draft_rules(version: str, method: Method, shape: ModelShape) -> DraftRules | None:
    """The rules of a method for a model; None = the version does not have it."""
    release = number(version)
    row = MTP.get(shape.architecture) if method == "mtp" else DRAFTS[method]
    if row is None or release < row.since:
        return None
    own_head = method == "mtp" and release < (0, 16)
    return replace(
        row.value,
        own_head=own_head and shape.architecture.startswith(HEADS_IN_LAYERS),
        queries=release >= (0, 14),
    )


def draft_args(draft: Draft) -> tuple[str, ...]:
    """One JSON value, as all versions take it. Without a revision the newest is loaded, also of
    draft layers of a model whose own revision is pinned (config/speculative.py, 0.11-0.33).
    """
    config: dict[str, Any] = {"method": METHODS.get(draft.method, draft.method)}
    if draft.model:
        config["model"] = draft.model
    if draft.revision:
        config["revision"] = draft.revision
    if draft.method == "ngram":
        config |= {"prompt_lookup_min": 2, "prompt_lookup_max": 5}
    config["num_speculative_tokens"] = draft.tokens
    return (f"--speculative-config={json.dumps(config)}",)


def args(extras: Extras, engines: int = 1) -> tuple[str, ...]:
    """One element per flag; nothing where nothing is asked for. `engines` = copies in the pod."""
    wanted = {
        "--language-model-only": extras.text_only,
        f"--limit-mm-per-prompt={json.dumps(dict(extras.limits))}": extras.limits,
    }
    flags = (flag for flag, on in wanted.items() if on)
    lora = lora_args(extras.lora) if extras.lora else ()
    offload = offload_args(extras.offload, engines) if extras.offload else ()
    draft = draft_args(extras.draft) if extras.draft else ()
    return (*PREFIX_CACHING[extras.prefix_caching], *flags, *lora, *offload, *draft)


def offload_args(offload: Offload, engines: int) -> tuple[str, ...]:
    """GiB of one engine, summed over its GPUs (vllm/config/cache.py, 0.11.2-0.33)."""
    size = offload.size_bytes / engines / GIB
    return (f"--kv-offloading-size={size:g}", "--kv-offloading-backend=native")


def lora_args(lora: Lora) -> tuple[str, ...]:
    modules = tuple(f"{name}={source}" for name, source in lora.adapters)
    return (
        "--enable-lora",
        f"--max-loras={lora.max_loras}",
        f"--max-lora-rank={lora.max_rank}",
        f"--max-cpu-loras={lora.loaded}",
        *(("--lora-modules", *modules) if modules else ()),
    )
