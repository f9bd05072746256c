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
    rows = min(serving.max_num_seqs, tokens) if last and shape.task == "generate" else 0
    sampler = rule.sampler_copies * rows * shape.vocab_size * LOGIT_BYTES + states
    kept = rule.hidden_copies + (rule.stage_copies if parallelism.pipeline > 1 else 0)
    dense, experts = feed_forward_peaks(shape, rule, parallelism, serving, copies)
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


def keeps_workspace(shape: ModelShape, rule: Activation) -> bool:
    """Whether the expert kernels of this checkpoint keep their buffers between layers."""
    method = shape.quantization.method if shape.quantization else ""
    return rule.expert_workspace and method not in rule.workspace_free


def resident_bytes(shape: ModelShape, rule: Activation) -> int:
    """Memory that expert kernels take after the profile run, outside the budget."""
    method = shape.quantization.method if shape.quantization else ""
    return rule.resident_bytes if shape.is_moe and method in rule.workspace_free else 0


def feed_forward_peaks(
    shape: ModelShape, rule: Activation, parallelism: Parallelism, serving: Serving, copies: int
) -> tuple[int, int]:
    """The widest dense block and the largest expert workspace of the dummy batch, bytes.

    Ranks that share experts work on the tokens of all of them, in chunks
    (VLLM_FUSED_MOE_CHUNK_SIZE, 32768).
    """
    size, hidden = element_bytes("auto", shape, serving), shape.hidden_size
    tokens = profile_tokens(rule, serving)
    routed = min(tokens * copies, rule.expert_chunk_tokens or tokens * copies)
    blocks = {id(x.ffn): x.ffn for x in shape.layers}.values()
    dense = (
        dense_bytes(x, tokens, parallelism.tensor, size) for x in blocks if isinstance(x, Dense)
    )
    shards = max(1, parallelism.tensor * copies // parallelism.expert)
    experts = (
        expert_workspace_bytes(x, hidden, routed, shards, size)
        for x in blocks
        if isinstance(x, Moe)
    )
    return max(dense, default=0), max(experts, default=0)


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
