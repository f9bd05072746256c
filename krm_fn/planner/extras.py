"""What a service asks of an engine beside the model and its cache, and what that changes.

The values; their effect on a question is worked out once, before it is planned.
"""

from dataclasses import dataclass, replace
from typing import Literal

from krm_fn.catalog.shape import ModelShape
from krm_fn.planner.cache_spec import Kind
from krm_fn.planner.limits import EngineLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraRules:
    """Where an engine version keeps room for adapters, of the model that is asked about.

    `ranks` it takes, () = any; `base_slots` beside those of the adapters; `experts` have adapters
    too, `fused_experts` one A for gate and up; so has the `router`, and the `ends`: embedding and
    output head, of a vocabulary of at most `most_vocab` and with `extra_vocab` tokens more;
    `every_stage` of a pipeline holds those of all layers.
    """

    ranks: tuple[int, ...] = ()
    base_slots: int = 0
    experts: bool = True
    fused_experts: bool = False
    router: bool = True
    ends: bool = False
    most_vocab: int | None = None
    extra_vocab: int = 0
    every_stage: bool = False
    source: str = ""


NO_LORA_RULES = LoraRules()


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """`adapters` = (name, id or path); `loaded` of them are held in the node's memory."""

    max_loras: int
    max_rank: int
    adapters: tuple[tuple[str, str], ...] = ()
    rules: LoraRules = NO_LORA_RULES

    @property
    def slots(self) -> int:
        """Slots on a GPU."""
        return self.max_loras + self.rules.base_slots

    @property
    def loaded(self) -> int:
        return max(self.max_loras, len(self.adapters))


@dataclass(frozen=True, kw_only=True, slots=True)
class OffloadRules:
    """How an engine version keeps a part of the KV cache in the node's memory.

    `kinds` of caches that it can; `in_full` = windows then count like full layers on the GPU too.
    `shared` = in /dev/shm. `smaller` = what a part smaller than the GPUs' is: refused, a warning,
    or nothing to mention.
    """

    kinds: tuple[Kind, ...]
    in_full: bool = False
    shared: bool = False
    smaller: Literal["error", "warning"] | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Offload:
    """`size_bytes` of one pod."""

    size_bytes: int
    rules: OffloadRules


Method = Literal["mtp", "eagle3", "draft", "ngram"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DraftRules:
    """How an engine version holds what drafts, of the model that is asked about.

    `layers` of MTP by default; `sharded` = their projection is split over the GPUs; `own_head` =
    they keep an output head of their own. `like_target` = each layer of the draft is given the
    cache of a layer of the model. `queries` = graphs are captured for all tokens of a request that
    are verified at once.
    """

    layers: int = 1
    sharded: bool = False
    own_head: bool = False
    like_target: bool = False
    queries: bool = False
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """`tokens` are drafted at once; by the `layers` of MTP, or by a model of `shape` and its files
    of `file_bytes`. `model` = its id or path, `revision` that of its files, or of the model's own.
    """

    method: Method
    tokens: int
    layers: int = 0
    shape: ModelShape | None = None
    model: str | None = None
    revision: str | None = None
    file_bytes: int = 0
    rules: DraftRules


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """None = the engine's own. `limits` = (modality, items of it in a prompt). `whole_encoder` =
    every GPU has a copy of the encoder and reads items of its own.
    """

    prefix_caching: bool | None = None
    text_only: bool = False
    whole_encoder: bool = False
    limits: tuple[tuple[str, int], ...] = ()
    lora: Lora | None = None
    offload: Offload | None = None
    draft: Draft | None = None


NO_EXTRAS = Extras()


def undrafted(engine: EngineLimits) -> EngineLimits:
    """The rules of an engine that no longer drafts."""
    graphs = tuple(replace(row, queries=1) for row in engine.graphs)
    return replace(engine, cache=replace(engine.cache, draft_tokens=0), graphs=graphs)


def adapted(engine: EngineLimits, extras: Extras) -> EngineLimits:
    """The rules of an engine that is asked for these extras.

    Without prefix caching a state is kept once per request: mamba_cache_mode "none"
    (vllm/config/cache.py, 0.33), and a pool of tokens has as many of them as requests run
    (sglang kv_cache_configurator.py:_handle_max_mamba_cache, 0.5.23; model_runner.py, 0.5.5).
    A connector turned vLLM's hybrid manager off until 0.22 (vllm/config/vllm.py, 0.11.2-0.21.0).
    Drafts: a state more per drafted token, graphs for all tokens of a request
    (vllm/config/vllm.py:_set_cudagraph_sizes, 0.14-0.33).
    """
    cache = engine.cache
    if extras.prefix_caching is False:
        cache = replace(cache, state_mode="none", by_requests=True, states_per_request=1)
    if extras.offload and extras.offload.rules.in_full:
        cache = replace(cache, hybrid=False)
    if extras.draft is None:
        return replace(engine, cache=cache)
    tokens = extras.draft.tokens
    queries = 1 + tokens if extras.draft.rules.queries else 1
    graphs = tuple(replace(row, queries=queries) for row in engine.graphs)
    return replace(engine, cache=replace(cache, draft_tokens=tokens), graphs=graphs)
