"""The memory fraction that an engine chooses itself when none is stated."""

from krm_fn.planner.limits import FreeFraction
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.units import MIB


def automatic_fraction(question: Question, parallelism: Parallelism, serving: Serving) -> float:
    """The engine's own fraction: fixed, or what its reservation for graphs and activations leaves.

    round((memory - reserved) / memory, 3) in MiB; x 0.95 for models with an encoder. Source:
    sglang/srt/arg_groups/memory_hook.py:handle_gpu_memory_settings (0.5.23).
    """
    engine, rule = question.engine, question.engine.free_fraction
    if engine.memory_fraction or not rule:
        return engine.memory_fraction or 0.9
    if rule.fixed:
        return rule.fixed
    memory = question.pool.gpu_memory_bytes / MIB
    fraction = round((memory - reserved_mib(rule, question, parallelism, serving)) / memory, 3)
    return fraction * rule.encoder_factor if question.shape.encoder_parameters else fraction


def reserved_mib(
    rule: FreeFraction, question: Question, parallelism: Parallelism, serving: Serving
) -> float:
    """MiB kept free of weights and KV cache; the steps are by memory of the GPU."""
    memory = question.pool.gpu_memory_bytes / MIB
    step = next((s for s in rule.steps if memory < s[0]), rule.steps[-1])
    _, chunk, small, large = step
    chunk = serving.max_num_batched_tokens or chunk
    graphs = min(large if parallelism.tensor >= 4 else small, serving.max_num_seqs)
    reserved = rule.base + max(chunk, rule.min_chunk) * rule.per_token
    reserved += (
        parallelism.tensor * parallelism.pipeline / 8 * rule.per_ranks + graphs * rule.per_graph
    )
    return max(reserved, rule.floor) if memory > rule.floor_above else reserved
