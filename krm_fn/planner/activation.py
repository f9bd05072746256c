"""The peak of activations while an engine profiles itself, and the memory of CUDA graphs.

Both are measured terms: the forms follow from what is allocated, the factors are fitted per engine
version and stand in `engines/*_memory.py` with their spread.
"""

from krm_fn.catalog.shape import Dense, Layer, ModelShape, Moe
from krm_fn.planner.kv_cache import element_bytes
from krm_fn.planner.limits import Activation, Graphs
from krm_fn.planner.plan import Parallelism, Serving

LOGIT_BYTES = 4
"""Logits are float32 in the sampler."""
SMALL_SIZES, STEP_8, STEP_16 = (1, 2, 4), 8, 16
FULL_SIZES = 51
"""Captured batch sizes up to 512 (vllm/config/vllm.py, 0.19-0.33)."""


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


def feed_forward_bytes(layer: Layer, hidden: int, tokens: int, shards: int, size: float) -> int:
    """Gate and up projections and their product: tokens x 3 x I / tp x bytes."""
    if isinstance(layer.ffn, Dense):
        widths = 3 if layer.ffn.gated else 2
        return int(tokens * widths * layer.ffn.intermediate_size // shards * size)
    if isinstance(layer.ffn, Moe):
        return expert_workspace_bytes(layer.ffn, hidden, tokens, shards, size)
    return 0


def activation_bytes(
    shape: ModelShape, rule: Activation, parallelism: Parallelism, serving: Serving, *, last: bool
) -> int:
    """Peak above the weights during the profile run, on one GPU of a pipeline stage.

    max(sampler, forward) + expert workspace + encoder output + constant, with
    sampler = copies x max_num_seqs x vocab x 4 + tokens x hidden x bytes (last stage only) and
    forward = copies x tokens x hidden x bytes + the widest feed-forward block. Independent of TP
    where the sampler dominates: logits are gathered to the full vocabulary.
    """
    size = element_bytes("auto", shape, serving)
    tokens, hidden = profile_tokens(rule, serving), shape.hidden_size
    states = tokens * hidden * size
    rows = min(serving.max_num_seqs, tokens)
    sampler = rule.sampler_copies * rows * shape.vocab_size * LOGIT_BYTES + states if last else 0
    layers = tuple({id(x): x for x in shape.layers}.values())
    shards = parallelism.tensor
    blocks = [(x, feed_forward_bytes(x, hidden, tokens, shards, size)) for x in layers]
    kept = rule.expert_workspace
    dense = max((b for x, b in blocks if not (kept and isinstance(x.ffn, Moe))), default=0)
    experts = max((b for x, b in blocks if kept and isinstance(x.ffn, Moe)), default=0)
    encoder = rule.encoder_copies * states if shape.encoder_parameters else 0
    peak = max(sampler, rule.hidden_copies * states + dense)
    return int(peak + experts + encoder + rule.constant_bytes)


def captured_sizes(max_num_seqs: int, most: int) -> int:
    """How many batch sizes are captured: 1, 2, 4, 8, 16 .. 256, 272 .. min(2 x seqs, most)."""
    top = min(2 * max_num_seqs, most)
    small = sum(size <= top for size in SMALL_SIZES)
    fine = min(top, 256) // STEP_8
    coarse = max(0, top - 256) // STEP_16
    return small + fine + coarse


def graph_bytes(shape: ModelShape, rule: Graphs, parallelism: Parallelism, serving: Serving) -> int:
    """Memory of the captured CUDA graphs: base + layers x bytes x share of the 51 usual sizes."""
    if serving.enforce_eager:
        return 0
    layers = len(shape.layers) / parallelism.pipeline
    share = captured_sizes(serving.max_num_seqs, rule.max_size) / FULL_SIZES
    factor = rule.expert_factor if shape.is_moe else 1.0
    return int((rule.base_bytes + layers * rule.layer_bytes * factor) * share)
