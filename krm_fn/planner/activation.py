"""The peak of activations while an engine profiles itself, and the memory of CUDA graphs.

Both are measured terms: the forms follow from what is allocated, the factors are fitted per engine
version and stand in `engines/*_memory.py` with their spread.
"""

from dataclasses import dataclass

from krm_fn.catalog.shape import Dense, ModelShape, Moe
from krm_fn.planner.kv_cache import element_bytes
from krm_fn.planner.limits import Activation, Graphs
from krm_fn.planner.plan import Parallelism, Serving

LOGIT_BYTES = 4
"""Logits are float32 in the sampler."""
FULL_SIZE = 512
"""The batch size that the graph rows are measured at."""


def profile_tokens(rule: Activation, serving: Serving) -> int:
    """Tokens of the dummy batch; without chunked prefill at least one full context."""
    tokens = serving.max_num_batched_tokens
    return max(tokens, serving.max_model_len) if rule.whole_prompt else tokens


def expert_workspace_bytes(moe: Moe, hidden: int, tokens: int, shards: int, size: float) -> int:
    """Buffers of the fused expert kernel: M x top_k x (max(2I, H) + max(I, H)) x bytes.

    I = expert width on this GPU, H = hidden size, M = tokens of the batch. Source:
    vllm/model_executor/layers/fused_moe/fused_moe.py:TritonExperts.workspace_shapes (0.19); equals
    the excess over dense models in logs of 0.19 on H100 within 0.03 GiB: Qwen3-30B-A3B 0.50,
    Qwen1.5-MoE 0.30, Mixtral TP2 0.66, DeepSeek-V2-Lite 0.45.
    """
    width = moe.intermediate_size // shards
    gated = 2 * width if moe.gated else width
    rows = tokens * moe.experts_per_token
    return int(rows * (max(gated, hidden) + max(width, hidden)) * size)


def dense_bytes(dense: Dense, tokens: int, shards: int, size: float) -> int:
    """Gate and up projections and their product: tokens x 3 x I / tp x bytes."""
    widths = 3 if dense.gated else 2
    return int(tokens * widths * dense.intermediate_size // shards * size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Bytes of the pieces of the peak: see `activation_parts`.

    forward = `kept` x `states` (hidden states of the batch) + `block` (the widest feed-forward).
    """

    sampler: float
    kept: float
    states: float
    block: float
    resident: int
    encoder: float
    constant: int

    @property
    def forward(self) -> float:
        return self.kept * self.states + self.block

    @property
    def total(self) -> int:
        return int(max(self.sampler, self.forward) + self.resident + self.encoder + self.constant)


def activation_bytes(
    shape: ModelShape,
    rule: Activation,
    parallelism: Parallelism,
    serving: Serving,
    *,
    last: bool,
    copies: int = 1,
) -> int:
    """The peak of the profile run in bytes."""
    parts = activation_parts(shape, rule, parallelism, serving, last=last, copies=copies)
    return parts.total


def activation_parts(
    shape: ModelShape,
    rule: Activation,
    parallelism: Parallelism,
    serving: Serving,
    *,
    last: bool,
    copies: int = 1,
) -> Parts:
    """Peak above the weights during the profile run, on one GPU of a pipeline stage.

    max(sampler, forward) + expert workspace + encoder output + constant, with
    sampler = copies x max_num_seqs x vocab x 4 + tokens x hidden x bytes (last stage only) and
    forward = copies x tokens x hidden x bytes + the widest feed-forward block. Independent of TP
    where the sampler dominates: logits are gathered to the full vocabulary. `copies` =
    data-parallel ranks that share the experts: each gathers the hidden states of all and gives back
    as many (vllm/distributed/device_communicators/all2all.py:NaiveAll2AllManager, 0.10).
    """
    tokens = profile_tokens(rule, serving)
    states = tokens * shape.hidden_size * element_bytes("auto", shape, serving)
    rows = sampled_rows(shape, rule, serving, last=last)
    sampler = rule.sampler_copies * rows * shape.vocab_size * LOGIT_BYTES + states
    kept = rule.hidden_copies + (rule.stage_copies if parallelism.pipeline > 1 else 0)
    dense, experts = feed_forward_peaks(feed_forward(shape, rule, parallelism, serving, copies))
    resident = 0 if not keeps_workspace(shape, rule) else experts
    gathered = 2 * copies if copies > 1 else 0
    encoder = rule.encoder_copies * states if shape.encoder_parameters else 0
    return Parts(
        sampler=sampler,
        kept=kept + gathered,
        states=states,
        block=max(dense, experts - resident),
        resident=resident,
        encoder=encoder,
        constant=rule.constant_bytes,
    )


def sampled_rows(shape: ModelShape, rule: Activation, serving: Serving, *, last: bool) -> int:
    """Sequences whose next token is sampled at once: on the last stage, of models that generate."""
    samples = last and shape.task == "generate"
    return min(serving.max_num_seqs, profile_tokens(rule, serving)) if samples else 0


def keeps_workspace(shape: ModelShape, rule: Activation) -> bool:
    """Whether the expert kernels of this checkpoint keep their buffers between layers."""
    method = shape.quantization.method if shape.quantization else ""
    return rule.expert_workspace and method not in rule.workspace_free


def resident_bytes(shape: ModelShape, rule: Activation) -> int:
    """Memory that expert kernels take after the profile run, outside the budget."""
    method = shape.quantization.method if shape.quantization else ""
    return rule.resident_bytes if shape.is_moe and method in rule.workspace_free else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """The feed-forward blocks of a model and the dummy batch that goes through them.

    Ranks that share experts work on the tokens of all of them, in chunks
    (VLLM_FUSED_MOE_CHUNK_SIZE, 32768).
    """

    dense: tuple[Dense, ...]
    experts: tuple[Moe, ...]
    tokens: int
    routed: int
    tensor: int
    shards: int
    hidden: int
    size: float

    def dense_peak(self, block: Dense) -> int:
        return dense_bytes(block, self.tokens, self.tensor, self.size)

    def expert_peak(self, block: Moe) -> int:
        return expert_workspace_bytes(block, self.hidden, self.routed, self.shards, self.size)


def feed_forward(
    shape: ModelShape, rule: Activation, parallelism: Parallelism, serving: Serving, copies: int
) -> Blocks:
    """The blocks of a model on one GPU."""
    tokens = profile_tokens(rule, serving)
    found = {id(x.ffn): x.ffn for x in shape.layers}.values()
    return Blocks(
        dense=tuple(x for x in found if isinstance(x, Dense)),
        experts=tuple(x for x in found if isinstance(x, Moe)),
        tokens=tokens,
        routed=min(tokens * copies, rule.expert_chunk_tokens or tokens * copies),
        tensor=parallelism.tensor,
        shards=max(1, parallelism.tensor * copies // parallelism.expert),
        hidden=shape.hidden_size,
        size=element_bytes("auto", shape, serving),
    )


def feed_forward_peaks(blocks: Blocks) -> tuple[int, int]:
    """The widest dense block and the largest expert workspace of the dummy batch, bytes."""
    dense = (blocks.dense_peak(block) for block in blocks.dense)
    experts = (blocks.expert_peak(block) for block in blocks.experts)
    return max(dense, default=0), max(experts, default=0)


def feed_forward_made(blocks: Blocks) -> tuple[str, str]:
    """Both in figures; "" where the model has none."""
    dense = max(blocks.dense, key=blocks.dense_peak, default=None)
    experts = max(blocks.experts, key=blocks.expert_peak, default=None)
    return (
        _dense_made(blocks, dense) if dense else "",
        _experts_made(blocks, experts) if experts else "",
    )


def _dense_made(blocks: Blocks, block: Dense) -> str:
    widths = 3 if block.gated else 2
    inner = f"{block.intermediate_size:,} / {blocks.tensor}"
    return f"{blocks.tokens:,} tokens x {widths} x {inner} x {blocks.size:g} B"


def _experts_made(blocks: Blocks, block: Moe) -> str:
    width = block.intermediate_size // blocks.shards
    gated = 2 * width if block.gated else width
    widths = f"{max(gated, blocks.hidden):,} + {max(width, blocks.hidden):,}"
    rows = f"{blocks.routed:,} tokens x {block.experts_per_token} experts"
    return f"{rows} x ({widths}) x {blocks.size:g} B"


def largest_graph(rule: Graphs, serving: Serving) -> int:
    """The largest captured batch: min(2 x max_num_seqs x tokens of each, most)
    (vllm/config/vllm.py, 0.19-0.33).
    """
    return min(2 * serving.max_num_seqs * rule.queries, rule.max_size)


def graph_bytes(shape: ModelShape, rule: Graphs, parallelism: Parallelism, serving: Serving) -> int:
    """Memory of the captured CUDA graphs: they share one pool, which the largest batch decides."""
    if serving.enforce_eager:
        return 0
    layers = len(shape.layers) / parallelism.pipeline
    whole = rule.base_bytes + layers * rule.layer_bytes
    whole += rule.expert_bytes if shape.is_moe else 0
    return int(whole * largest_graph(rule, serving) / FULL_SIZE)
