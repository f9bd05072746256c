"""What the planner needs to know of an engine version; each engine fills one in.

The question is the planner's, so the types stand here; the answers stand in `engines/`. Every
figure that was measured and not derived is a row with its spread, count and source.
"""

from dataclasses import dataclass, field
from typing import Literal

from krm_fn.catalog.rows import Gpu
from krm_fn.catalog.shape import ModelShape

Pool = Literal["blocks", "tokens"]
Printed = Literal["blocks", "groups", "capacity"]
StateMode = Literal["none", "align", "all"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """Which GPUs and layouts a row is for; the first row that matches counts.

    `names` = parts of the product label, any of them. Bounds are inclusive.
    """

    names: tuple[str, ...] = ()
    vendor: str | None = None
    min_memory_bytes: int = 0
    max_memory_bytes: int | None = None
    min_tensor: int = 1
    max_tensor: int | None = None
    min_pipeline: int = 1
    min_major: int = 0
    max_major: int | None = None

    def holds(self, gpu: Gpu, memory_bytes: int, tensor: int = 1, pipeline: int = 1) -> bool:
        major = gpu.capability[0]
        return (
            (not self.names or any(name in gpu.name for name in self.names))
            and self.vendor in (None, gpu.vendor)
            and self.min_memory_bytes <= memory_bytes
            and (self.max_memory_bytes is None or memory_bytes <= self.max_memory_bytes)
            and self.min_tensor <= tensor
            and (self.max_tensor is None or tensor <= self.max_tensor)
            and self.min_pipeline <= pipeline
            and self.min_major <= major
            and (self.max_major is None or major <= self.max_major)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Overhead:
    """A measured memory term: bytes, its half-width, how many logs stand behind it and which."""

    where: Where
    bytes: int
    spread_bytes: int
    measurements: int
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Relative:
    """How far a computed term is from what was measured, as a part of it."""

    spread: float
    measurements: int
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Batch limits that the engine takes when no flag is given."""

    where: Where
    max_num_batched_tokens: int | None
    max_num_seqs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """Peak of the profile run: max(sampler, forward pass) + expert workspace + a constant.

    sampler = `sampler_copies` float32 logits of `max_num_seqs` rows + hidden states of the batch;
    forward = feed-forward block and `hidden_copies` hidden states of the batch (in a pipeline
    `stage_copies` more). `expert_workspace`: the fused expert kernels keep their buffers, but not
    those of the methods `workspace_free`. `whole_prompt`: without chunked prefill the batch is at
    least one full context. `encoder_copies`: hidden states of the encoder's output that stay.
    `resident_bytes`: taken after the profile run by the methods `workspace_free`, outside the
    budget. `spread` is relative, `spread_bytes` absolute.
    """

    where: Where
    sampler_copies: float
    hidden_copies: float
    constant_bytes: int
    expert_workspace: bool
    spread: float
    measurements: int
    source: str
    stage_copies: float = 2.4
    encoder_copies: float = 1.6
    expert_chunk_tokens: int | None = None
    workspace_free: tuple[str, ...] = ("mxfp4",)
    resident_bytes: int = 0
    whole_prompt: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Graphs:
    """CUDA graphs: captured batch sizes and what they cost.

    Sizes go up to min(2 x max_num_seqs, `max_size`); bytes = (base + layers x per layer + experts)
    x largest size / 512. `estimate` = the part of them that a rehearsal finds. `queries` = tokens
    of one sequence in a decode step.
    """

    where: Where
    max_size: int
    base_bytes: int
    layer_bytes: int
    expert_bytes: int
    estimate: float
    spread_bytes: int
    measurements: int
    source: str
    queries: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Rehearsal:
    """CUDA graphs captured before the KV cache is sized, beside a cache of a few blocks.

    `blocks` = as many as the "largest" captured batch, or no more than the "batch" limit.
    `charged` = what the graphs took is subtracted before the KV cache is sized.
    """

    where: Where = field(default_factory=Where)
    blocks: Literal["largest", "batch"]
    charged: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Unrehearsed:
    """Models whose runner captures graphs without a rehearsal, and so without a charge for them.

    `architectures` by name, if `plain` only without experts and quantisation; with `dense` also
    all that have neither experts nor states. `drafts` = methods of drafting that it knows.
    """

    architectures: tuple[str, ...]
    plain: bool = False
    dense: bool = False
    drafts: tuple[str, ...] = ("eagle3", "mtp")


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheBlock:
    """Tokens per block that an attention kernel wants, by kind of cache and GPU."""

    where: Where
    kind: Literal["latent", "sparse", "any"]
    tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheRules:
    """How the KV cache is cut up.

    `pool` = pages of blocks (vLLM) or one pool of tokens (SGLang). `printed`: what the start-up log
    calls tokens. `batches_in_flight`: batches whose tokens a window keeps beyond itself, one more
    in a pipeline with `pipelined_batches`. `null_block`: one block is taken off before the check
    that a request fits. `pads_pages`: pages that do not divide are padded, else all layers count
    in full. `alike_factor`: layer counts of two kinds within it share the larger group size.
    `hybrid`: windows save memory at all. `state_mode`: states kept per request (with prefix caching
    2), one more for `checkpoint_kinds`; `state_dtypes` = (part of the architecture's name, dtype)
    where the config has none; `fixed_dtypes` = architectures whose layers pay no heed to the KV
    dtype that is asked for. `state_align`, `latent_align` = token granularity of the block of a
    hybrid, for plain and latent attention. `latent` False: latent attention is stored as whole
    heads padded to 256 (before MLA kernels). `window_share`, `state_share`, `states_per_request`:
    how a pool of tokens is split; `by_requests`: by the batch limit instead, without prefix
    caching, a window with `window_slack` tokens more (None = windows keep their share).
    `draft_tokens`: drafted at once; a state is kept for each.
    """

    pool: Pool
    printed: Printed = "capacity"
    blocks: tuple[CacheBlock, ...] = ()
    batches_in_flight: int = 2
    pipelined_batches: bool = False
    null_block: bool = True
    pads_pages: bool = True
    alike_factor: float = 1.5
    hybrid: bool = True
    state_mode: StateMode = "align"
    checkpoint_kinds: tuple[str, ...] = ()
    latent: bool = True
    state_dtypes: tuple[tuple[str, str], ...] = ()
    fixed_dtypes: tuple[str, ...] = ()
    state_align: int = 16
    latent_align: int = 128
    window_share: float = 0.8
    state_share: float = 0.9
    states_per_request: int = 3
    by_requests: bool = False
    draft_tokens: int = 0
    window_slack: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FreeFraction:
    """How an engine chooses its fraction of the free memory; sizes in MiB.

    `by_tensor` = (from this tensor size, fraction), else `by_memory` = (memory below, reserved,
    reserved per GPU), else the formula of `memory_fraction.py` with `graphs` = (memory below,
    largest graph batch at tp < 4, at tp >= 4). `prefill_graphs`: these are reserved for, on CUDA.
    """

    by_tensor: tuple[tuple[int, float], ...] = ()
    by_memory: tuple[tuple[float, float, float], ...] = ()
    graphs: tuple[tuple[float, int, int], ...] = ()
    prefill_graphs: bool = False
    attention_data_mib: float = 0.0
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpertKernel:
    """How a kernel stores the experts of an MXFP4 checkpoint; sizes are rounded up to multiples.

    `width` and `hidden` = of the expert's and the model's width. `packed` = of the bytes that one
    output has, `scale_rows`, `scale_groups` = of the outputs and groups that scales stand for;
    `keeps_scales` = as loaded, beside those that the kernel reads. `wide_bias` = in 32 bits.
    `adapters` = it can serve LoRA.
    """

    where: Where = field(default_factory=Where)
    width: int
    hidden: int
    packed: int = 1
    scale_rows: int = 1
    scale_groups: int = 1
    keeps_scales: bool = False
    wide_bias: bool = False
    adapters: bool = False


MARLIN = ExpertKernel(width=128, hidden=256, adapters=True)
"""vllm/model_executor/layers/fused_moe/oracle/mxfp4.py:
mxfp4_round_up_hidden_size_and_intermediate_size (0.32).
"""

WholePrompts = Literal["encoders", "embedding models", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineLimits:
    """Memory and layout rules of one engine version, as data.

    `memory_basis`: "total" = the fraction is of the GPU's total (vLLM), "free" = of what was free
    before the weights were loaded, and leaves graphs and activations outside (SGLang).
    `context` = memory used before the engine takes its baseline (CUDA context, communicators), not
    charged to a fraction of the total. `non_torch` = growth after it, charged. `text_only` = the
    architectures whose encoder can be left out; None = every one. `whole_encoder` = the flag that
    puts a copy of it on every GPU, "" = none does. `expert_widths` = (part of the
    architecture's name, width up to which the shard of an expert is filled). `expert_kernels` = of
    gpt-oss, else Marlin's. `whole_kv_heads` =
    architectures whose KV heads are not copied to more GPUs than heads. `rotary_factors` = (part of
    the architecture's name, how many times its rotary table is longer than the context).
    `whole_prompts` = of which models prompts are read in one step, so that a step must hold the
    context. `seqs_at_most_batched`: a batch of more requests than a step has tokens is refused.
    `no_float16` = model types that it refuses in float16. `quantised_dtypes` = (methods, types that
    their kernels take).
    """

    name: str
    version: str
    memory_basis: Literal["total", "free"]
    memory_fraction: float | None
    block_size: int
    kv_cache_dtypes: tuple[str, ...]
    attention_data_parallel: bool = False
    pipeline_parallel: bool = True
    experts_span_data: bool = False
    expert_widths: tuple[tuple[str, int], ...] = ()
    expert_kernels: tuple[ExpertKernel, ...] = ()
    whole_kv_heads: tuple[str, ...] = ()
    rotary_factors: tuple[tuple[str, int], ...] = ()
    activation_charged: bool = True
    cache: CacheRules = field(default_factory=lambda: CacheRules(pool="blocks"))
    batches: tuple[Batch, ...] = ()
    activation: tuple[Activation, ...] = ()
    graphs: tuple[Graphs, ...] = ()
    rehearsals: tuple[Rehearsal, ...] = ()
    unrehearsed: tuple[Unrehearsed, ...] = ()
    context: tuple[Overhead, ...] = ()
    non_torch: tuple[Overhead, ...] = ()
    free_fraction: FreeFraction | None = None
    sparse_kv_dtype: str | None = None
    text_only: tuple[str, ...] | None = None
    whole_encoder: str = ""
    whole_prompts: WholePrompts = "none"
    seqs_at_most_batched: bool = False
    no_float16: tuple[str, ...] = ()
    quantised_dtypes: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()


def reads_whole(engine: EngineLimits, shape: ModelShape) -> bool:
    """Whether a prompt of the model is read in one step."""
    if engine.whole_prompts == "encoders":
        return not shape.causal
    return engine.whole_prompts == "embedding models" and shape.task == "embed"


def expert_width(engine: EngineLimits, architecture: str) -> int:
    """The least width of the shard of an expert; 0 = as it comes."""
    return next((width for name, width in engine.expert_widths if name in architecture), 0)


def expert_kernel(
    engine: EngineLimits, architecture: str, gpu: Gpu, memory_bytes: int, *, adapters: bool
) -> ExpertKernel:
    """The kernel of an MXFP4 checkpoint's experts on this GPU."""
    rows = engine.expert_kernels if architecture.startswith("GptOss") else ()
    able = (row for row in rows if row.adapters or not adapters)
    return next((row for row in able if row.where.holds(gpu, memory_bytes)), MARLIN)


def rotary_factor(engine: EngineLimits, architecture: str) -> int:
    """How many times the rotary table is longer than the context of the model."""
    return next((times for name, times in engine.rotary_factors if name in architecture), 1)


def batch_limits(engine: EngineLimits, gpu: Gpu, memory_bytes: int) -> tuple[int | None, int]:
    """(max_num_batched_tokens, max_num_seqs) that the engine takes when no flag is given."""
    rows = engine.batches
    found = next((row for row in rows if row.where.holds(gpu, memory_bytes)), None)
    return (found.max_num_batched_tokens, found.max_num_seqs) if found else (8192, 256)
