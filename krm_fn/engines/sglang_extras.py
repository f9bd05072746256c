"""SGLang's flags for what a service asks of it beside the model.

Facts: sglang/srt/server_args.py, 0.4.9 to 0.5.23.
"""

import json
from collections.abc import Mapping

from krm_fn.catalog.shape import Attention, ModelShape, StateSpace
from krm_fn.engines.since import Since, at, number
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

NEEDS = {
    "multimodal.textOnly": "--language-model-only",
    "multimodal.limits": "--limit-mm-data-per-request",
    "kvOffload": "--enable-hierarchical-cache",
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


_HICACHE = "sglang/srt/mem_cache/hiradix_cache.py"
OFFLOAD: tuple[Since[OffloadRules], ...] = (
    Since(
        since=(0, 5, 15),
        value=OffloadRules(
            kinds=("full",), smaller="warning", source=f"{_HICACHE}, pool_host/base.py, 0.5.23"
        ),
    ),
    Since(
        value=OffloadRules(
            kinds=("full",),
            smaller="error",
            source=f"{_HICACHE}, memory_pool_host.py, 0.4.9-0.5.14",
        )
    ),
)
"""Windows and states have host pools of their own, which are not planned."""
HOST_GB = 10**9
"""`--hicache-size` is in gigabytes, not GiB (host_size * 1e9, pool_host/base.py)."""


def offload_rules(version: str, vendor: str) -> OffloadRules:  # noqa: ARG001  # the same on all
    return at(OFFLOAD, number(version))


DRAFTED_SINCE = (0, 5, 14)
"""Since then drafts are loaded before the cache is sized (model_runner_kv_cache_mixin.py:
"draft weights are now counted"); before, they took what the fraction left."""
ALGORITHMS: Mapping[Method, str] = {
    "mtp": "EAGLE",
    "eagle3": "EAGLE3",
    "draft": "STANDALONE",
    "ngram": "NGRAM",
}
MTP = (
    "DeepseekV3ForCausalLM",
    "DeepseekV32ForCausalLM",
    "Glm4MoeForCausalLM",
    "GlmMoeDsaForCausalLM",
)
"""Those that find their draft layers without a path and whose layers are like the last one
(speculative_hook.py:_handle_eagle_family, 0.5.23)."""
_NGRAM = DraftRules(source="speculative/ngram_worker.py, 0.5.3-0.5.23")
_DRAFT = DraftRules(like_target=True, source="pool_configurator.py, 0.5.14-0.5.23")


def draft_rules(version: str, method: Method, shape: ModelShape) -> DraftRules | None:
    """The rules of a method for a model; None = not in this version, or not planned: states and
    windows have pools of their own for drafts.
    """
    release = number(version)
    mixers = [mixer for layer in shape.layers for mixer in (layer.mixer, layer.parallel)]
    if any(isinstance(mixer, StateSpace) for mixer in mixers):
        return None
    if method == "ngram":
        return _NGRAM if release >= (0, 5, 3) else None
    windows = any(getattr(mixer, "window", None) for mixer in mixers)
    fits = method != "mtp" or shape.architecture in MTP
    return _DRAFT if release >= DRAFTED_SINCE and fits and not windows else None


def draft_args(draft: Draft) -> tuple[str, ...]:
    """A chain of drafts: top-k 1, one token more is verified than is drafted. Draft layers are
    taken from the model's own revision (speculative_hook.py, 0.5.23).
    """
    path = [f"--speculative-draft-model-path={draft.model}"] if draft.model else []
    if draft.model and draft.revision:
        path.append(f"--speculative-draft-model-revision={draft.revision}")
    chain = (f"--speculative-num-steps={draft.tokens}", "--speculative-eagle-topk=1")
    return (
        f"--speculative-algorithm={ALGORITHMS[draft.method]}",
        *path,
        *(() if draft.method == "ngram" else chain),
        f"--speculative-num-draft-tokens={draft.tokens + 1}",
    )


def args(extras: Extras, ranks: int = 1) -> tuple[str, ...]:
    """One element per flag; nothing where nothing is asked for. `ranks` = GPUs of the pod."""
    wanted = {
        "--disable-radix-cache": extras.prefix_caching is False,
        "--language-model-only": extras.text_only,
        f"--limit-mm-data-per-request={json.dumps(dict(extras.limits))}": extras.limits,
    }
    flags = (flag for flag, on in wanted.items() if on)
    lora = lora_args(extras.lora) if extras.lora else ()
    offload = offload_args(extras.offload, ranks) if extras.offload else ()
    return (*flags, *lora, *offload, *(draft_args(extras.draft) if extras.draft else ()))


def offload_args(offload: Offload, ranks: int) -> tuple[str, ...]:
    """Whole gigabytes of each rank; a size replaces the ratio to the GPU's pool."""
    size = offload.size_bytes // ranks // HOST_GB
    return ("--enable-hierarchical-cache", f"--hicache-size={size}")


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
