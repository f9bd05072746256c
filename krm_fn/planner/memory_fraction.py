"""The memory fraction that an engine chooses itself when none is stated."""

from krm_fn.catalog.rows import Gpu
from krm_fn.planner.limits import FreeFraction
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.units import MIB, quantity_bytes

DEFAULT = 0.9
BASE_MIB, TOKEN_MIB, LEAST_TOKENS = 512, 1.5, 2048
"""Metadata, and activations per token of a prefill chunk."""
RANKS_MIB = 1024
"""Per 8 GPUs of the replica."""
GRAPH_MIB, DATA_GRAPH_MIB, WIDE_GRAPH_MIB, WIDE_GRAPH = 2, 3, 1.5, 300
"""Per captured sequence; with DP attention per sequence and rank, more above 300."""
PREFILL_GRAPH_MIB, LATENT_PREFILL_MIB = 8, 1536
PREFILL_STEPS = (
    (4, 32, 4),
    (48, 256, 16),
    (288, 512, 32),
    (576, 1024, 64),
    (1280, 4096, 256),
    (4608, 1 << 30, 512),
)
FLOOR_MIB, FLOOR_ABOVE_MIB = 10 * 1024, 60 * 1024
ENCODER_FACTOR, ENCODER_PARAMETERS, ENCODER_SLOPE = 0.95, 24 * 12 * 1024**2, 0.1
"""Models with an encoder: x 0.95, x (1 - 0.1 per ViT-L above one), between 0.8 and 1.05."""


def automatic_fraction(question: Question, parallelism: Parallelism, serving: Serving) -> float:
    """The engine's own fraction: fixed, or what its reserve for graphs and activations leaves.

    round((memory - reserved) / memory, 3), memory as the driver tools print it. Source:
    sglang/srt/arg_groups/memory_hook.py:handle_gpu_memory_settings (0.5.23). 0.826 for Kimi K2.5 on
    MI355X TP8 (sglang-0007) and 0.836 for Qwen2.5-3B on H100 without graphs (sglang-0001).
    """
    engine, rule = question.engine, question.engine.free_fraction
    if engine.memory_fraction or not rule:
        return engine.memory_fraction or DEFAULT
    tensors = (fraction for least, fraction in rule.by_tensor if parallelism.tensor >= least)
    if rule.by_tensor:
        return next(tensors)
    memory = driver_bytes(question.pool.gpu, question.pool.gpu_memory_bytes) / MIB
    reserved = reserved_mib(rule, question, parallelism, serving, memory)
    return round((memory - reserved) / memory, 3) * encoder_factor(question)


def driver_bytes(gpu: Gpu, total: int) -> float:
    """Memory as nvidia-smi prints it, which is a little more than CUDA's total."""
    if not gpu.nvml_memory:
        return total
    return total * quantity_bytes(gpu.nvml_memory) / gpu.memory_bytes


def encoder_factor(question: Question) -> float:
    """0.95 x clamp(1 - 0.1 x (encoder / ViT-L - 1), 0.8, 1.05); 1 without an encoder
    (adjust_mem_fraction_for_vlm; layers x width^2 taken as parameters / 12).
    """
    size = question.shape.encoder_parameters
    if not size:
        return 1.0
    slope = 1 - ENCODER_SLOPE * (size / ENCODER_PARAMETERS - 1)
    return ENCODER_FACTOR * max(0.8, min(1.05, slope))


def reserved_mib(
    rule: FreeFraction,
    question: Question,
    parallelism: Parallelism,
    serving: Serving,
    memory: float,
) -> float:
    """MiB kept free of weights and KV cache."""
    ranks = parallelism.tensor * parallelism.pipeline
    if rule.by_memory:
        _, base, per_rank = next(row for row in rule.by_memory if memory < row[0])
        spare = rule.attention_data_mib if parallelism.attention_data > 1 else 0.0
        return base + ranks * per_rank + spare
    reserved = BASE_MIB + max(serving.max_num_batched_tokens, LEAST_TOKENS) * TOKEN_MIB
    reserved += ranks / 8 * RANKS_MIB + graphs_mib(rule, question, parallelism, serving, memory)
    return max(reserved, FLOOR_MIB) if memory > FLOOR_ABOVE_MIB else reserved


def graphs_mib(
    rule: FreeFraction,
    question: Question,
    parallelism: Parallelism,
    serving: Serving,
    memory: float,
) -> float:
    """Reserve for CUDA graphs of decode and prefill (reserve_for_graph_mb, 0.5.23)."""
    _, few, many = next(row for row in rule.graphs if memory < row[0])
    most = min(many if parallelism.tensor >= 4 else few, serving.max_num_seqs)
    reserved = 0.0 if serving.enforce_eager else float(most * GRAPH_MIB)
    if parallelism.attention_data > 1:
        each = DATA_GRAPH_MIB + (WIDE_GRAPH_MIB if most > WIDE_GRAPH else 0)
        reserved += most * parallelism.attention_data * each
    if not rule.prefill_graphs or question.pool.gpu.vendor != "nvidia":
        return reserved
    sizes = prefill_sizes(serving.max_num_batched_tokens) * PREFILL_GRAPH_MIB
    return reserved + (LATENT_PREFILL_MIB if question.shape.is_mla else sizes)


def prefill_sizes(most: int) -> int:
    """Captured prefill sizes up to `most` tokens: 4..32 by 4, 48..256 by 16, 288..512 by 32,
    576..1024 by 64, 1280..4096 by 256, 4608.. by 512 (generate_prefill_cuda_graph_batch_sizes).
    """
    return sum(len(range(low, min(high, most) + 1, step)) for low, high, step in PREFILL_STEPS)


def fraction_made(question: Question, parallelism: Parallelism, serving: Serving) -> str:
    """The fraction in figures where the engine works it out itself; "" where it is stated."""
    rule, pool = question.engine.free_fraction, question.pool
    if not rule or rule.by_tensor or question.stated.memory_fraction or pool.sharers > 1:
        return ""
    memory = driver_bytes(pool.gpu, pool.gpu_memory_bytes) / MIB
    reserved = reserved_mib(rule, question, parallelism, serving, memory)
    factor = encoder_factor(question)
    made = f"round(({memory:,.0f} - {reserved:,g}) / {memory:,.0f}, 3)"
    more = f" x {factor:g} beside an encoder" if factor != 1 else ""
    kept = _kept_made(rule, question, parallelism, serving, memory)
    return f"; {serving.memory_fraction:g} = {made}{more}, MiB, kept free: {kept} ({rule.source})"


def _kept_made(
    rule: FreeFraction,
    question: Question,
    parallelism: Parallelism,
    serving: Serving,
    memory: float,
) -> str:
    """What is kept free in figures: see reserved_mib."""
    ranks = parallelism.tensor * parallelism.pipeline
    if rule.by_memory:
        _, base, per_rank = next(row for row in rule.by_memory if memory < row[0])
        spare = f" + {rule.attention_data_mib:g}" if parallelism.attention_data > 1 else ""
        return f"{base:g} + {ranks} GPUs x {per_rank:g}{spare}"
    tokens = max(serving.max_num_batched_tokens, LEAST_TOKENS)
    graphs = graphs_mib(rule, question, parallelism, serving, memory)
    text = (
        f"{BASE_MIB} + {tokens:,} tokens x {TOKEN_MIB:g} + {ranks} GPUs / 8 x {RANKS_MIB:,} + "
        f"{graphs:,g} for CUDA graphs of up to {serving.max_num_seqs} sequences"
    )
    return f"{text}, at least {FLOOR_MIB:,}" if memory > FLOOR_ABOVE_MIB else text
