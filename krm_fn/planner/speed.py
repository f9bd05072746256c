"""The terms of the speed model: what a replica needs for a step, a prompt, a request.

The model is that of performance-model.md section 5; its constants stand in `speed_constants.py`,
its bytes and operations in `work.py` and `roofline.py`. Every time is max(bound, model), seconds.
Pipeline parallelism has no measured rows: stated as unvalidated in the provenance.
"""

from dataclasses import dataclass

from krm_fn.planner.plan import (
    Bound,
    MemoryBudget,
    Parallelism,
    Question,
    Serving,
    Workload,
)
from krm_fn.planner.roofline import (
    Rates,
    cache_read_bytes,
    decode_compute_seconds,
    prefill_compute_seconds,
    rates,
    ttft_bound,
    weights_read_bytes,
)
from krm_fn.planner.speed_constants import SpeedConstants, speed_constants
from krm_fn.planner.work import Work, work


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """All that does not depend on the concurrency: prepared once, asked often.

    `sequence_bytes`, `sequence_operations` = cache that a step moves and attention operations of
    one sequence of mean length, input + output/2. `prefill_compute` = P, seconds of a prompt at
    peak; `prompt_seconds` = a prompt alone without overhead; `ttft_floor` = the roofline of both.

    `capacity` = requests that run at once in the replica, with answers half done on average: two
    H100 with room for 27 complete requests of Llama-70B ran about 58 (perf-measured.csv p03711).
    `safe` = requests that fit with all answers complete, so that none is ever preempted.
    `capacity_bound` = what ends them, the KV cache ("kv") or max_num_seqs ("queue").
    """

    work: Work
    layout: Parallelism
    rates: Rates
    constants: SpeedConstants
    workload: Workload
    embeds: bool
    new_tokens: float
    sequence_bytes: float
    sequence_operations: float
    prefill_compute: float
    prompt_seconds: float
    ttft_floor: float
    capacity: int
    safe: int
    capacity_bound: Bound
    provenance: str
    wide: bool

    @property
    def overhead_seconds(self) -> float:
        """What a prompt costs whatever its length: scheduling and launches, per layer."""
        c, w = self.constants, self.work
        return c.prefill_layer * w.layers + c.prefill_moe_layer * w.moe_layers

    @property
    def waiting_seconds(self) -> float:
        """What each other user adds to the time before the first token."""
        c = self.constants
        return c.waiting * self.prefill_compute + c.waiting_layer * self.work.layers

    def per_copy(self, concurrency: float) -> float:
        return max(1.0, concurrency / self.layout.data)


def speed(
    question: Question, parallelism: Parallelism, serving: Serving, memory: MemoryBudget
) -> Speed:
    load, model = question.workload, work(question, parallelism, serving)
    rate = rates(question, parallelism, serving)
    constants, fitted = speed_constants(question.engine.name, question.engine.version)
    mean, full = load.input_tokens + load.output_tokens / 2, load.input_tokens + load.output_tokens
    cached = cached_tokens(load)
    peak = prefill_compute_seconds(model, parallelism, rate, load.input_tokens, cached)
    new = max(1.0, load.input_tokens - cached)
    seats = serving.max_num_seqs * parallelism.data
    safe = kv_requests(model, parallelism, serving, memory, full)
    return Speed(
        work=model,
        layout=parallelism,
        rates=rate,
        constants=constants,
        workload=load,
        embeds=question.shape.task == "embed",
        new_tokens=new,
        sequence_bytes=model.moved_bytes(mean),
        sequence_operations=model.decode_operations(mean),
        prefill_compute=peak,
        prompt_seconds=prompt_seconds(model, parallelism, rate, constants, peak, new),
        ttft_floor=ttft_bound(model, parallelism, rate, load.input_tokens, cached),
        capacity=max(1, min(kv_requests(model, parallelism, serving, memory, mean), seats)),
        safe=max(1, min(safe, seats)),
        capacity_bound="kv" if safe <= seats else "queue",
        provenance=_provenance(question, parallelism, constants, fitted=fitted),
        wide=_is_wide(question, parallelism)
        or not _is_calibrated(question, constants, fitted=fitted),
    )


def cached_tokens(load: Workload) -> float:
    """Tokens of the prompt that the prefix cache holds; the last token is always computed."""
    return min(load.input_tokens * load.prefix_hit_rate, max(0, load.input_tokens - 1))


def prompt_seconds(
    model: Work,
    layout: Parallelism,
    rate: Rates,
    constants: SpeedConstants,
    peak: float,
    new: float,
) -> float:
    """A prompt of `new` tokens alone: the longer of P / MFU and reading the weights."""
    factor = constants.prefill_moe if model.moe_layers else constants.prefill
    read = weights_read_bytes(model, layout, new) / layout.pipeline
    return max(peak * factor, constants.weights * read / rate.memory)


def kv_requests(
    model: Work, layout: Parallelism, serving: Serving, memory: MemoryBudget, tokens: float
) -> int:
    """Requests of `tokens` tokens whose KV cache fits in a replica.

    floor(max_concurrency x bytes of a request of max_model_len / bytes of one of `tokens`) x ranks
    x copies: the engine's own count of full-length requests, with its blocks and padding, scaled.
    Shared prefixes are counted for each request: which ones are shared is not known.
    """
    each, longest = model.kept_bytes(tokens), model.kept_bytes(serving.max_model_len)
    ranks = layout.attention_data * layout.data
    if each <= 0:
        return 2**31
    return int(max(0.0, memory.max_concurrency) * longest / each + 1e-9) * ranks


def decode_seconds(s: Speed, batch: float) -> float:
    """One decode step of `batch` sequences in a copy, without foreign prefills.

    t = a1 W/BW + a2 K/BW + a3 L + a4 Lm + a5 Ls + exchange + a6 B + a7, with W, K bytes of weights
    and cache, L layers, Lm of them MoE, Ls with sparse attention. Pipeline stages run after each
    other on 1/pp of the batch each, so a token passes all weights in steps of B/pp sequences.
    """
    c, w = s.constants, s.work
    micro = max(1.0, batch / s.layout.pipeline)
    read = c.weights * weights_read_bytes(w, s.layout, micro)
    read += c.cache * cache_read_bytes(s.layout, micro, s.sequence_bytes)
    layers = c.layer * w.layers + c.moe_layer * w.moe_layers + c.sparse_layer * w.sparse_layers
    return read / s.rates.memory + layers + exchange_seconds(s, micro) + c.sequence * micro + c.step


def exchange_seconds(s: Speed, batch: float) -> float:
    """All-reduces of a step: 2 L (a8 + a9 [no NVLink] + a10 2 B hidden 2 bytes / link).

    Two per layer of B x hidden 16-bit values, sent twice; 0 on one GPU.
    """
    if max(s.layout.tensor, s.layout.expert) == 1:
        return 0.0
    c, count = s.constants, 2 * s.work.layers
    latency = c.all_reduce + (0.0 if s.rates.nvlink else c.all_reduce_pcie)
    sent = 2 * batch * s.work.hidden_size * 2
    return count * (latency + c.exchange * sent / s.rates.link)


def itl_seconds(s: Speed, concurrency: float) -> float:
    """Decode step and its share of other users' prefills: t + interference (B-1) P / output."""
    if s.embeds:
        return 0.0
    batch = s.per_copy(concurrency)
    outputs = max(1, s.workload.output_tokens)
    others = s.constants.interference * (batch - 1) * s.prefill_compute / outputs
    return max(itl_floor_seconds(s, concurrency), decode_seconds(s, batch) + others)


def itl_floor_seconds(s: Speed, concurrency: float) -> float:
    """The roofline at this concurrency: the larger of memory and compute time of a step."""
    if s.embeds:
        return 0.0
    micro = max(1.0, s.per_copy(concurrency) / s.layout.pipeline)
    read, compute = step_bounds(s, micro)
    return max(read, compute)


def step_bounds(s: Speed, batch: float) -> tuple[float, float]:
    """(memory, compute) seconds that a decode step of `batch` sequences needs at least."""
    read = weights_read_bytes(s.work, s.layout, batch)
    read += cache_read_bytes(s.layout, batch, s.sequence_bytes)
    compute = decode_compute_seconds(s.work, s.layout, s.rates, batch, s.sequence_operations)
    return read / s.rates.memory, compute


def ttft_seconds(s: Speed, concurrency: float) -> float:
    """Time to the first token of a request that is admitted at once.

    overhead per layer + P / MFU + (B - 1) (waiting P + waiting_layer L). An embedding request
    waits for the whole prompts of all others.
    """
    batch = s.per_copy(concurrency)
    others = (batch - 1) * (s.prompt_seconds if s.embeds else s.waiting_seconds)
    return max(s.ttft_floor, s.overhead_seconds + s.prompt_seconds + others)


def request_seconds(s: Speed, concurrency: float) -> float:
    """TTFT + ITL x (output - 1) of a request that is admitted at once."""
    decode = itl_seconds(s, concurrency) * max(0, s.workload.output_tokens - 1)
    return ttft_seconds(s, concurrency) + decode


def requests_per_second(s: Speed, concurrency: float) -> float:
    """Little's law: X = C / latency up to the capacity, constant beyond it."""
    running = min(concurrency, s.capacity)
    return running / request_seconds(s, running)


def _is_wide(question: Question, layout: Parallelism) -> bool:
    """Cases with larger or no measured errors: MoE with EP, DP attention, 4-bit but NVFP4, PP.

    Source: performance-model.md 7 and 8.
    """
    q = question.shape.quantization
    four_bit = q is not None and q.bits < 6 and q.group_size != 16
    spread_experts = question.shape.is_moe and layout.expert > 1
    unusual = layout.pipeline > 1 or layout.attention_data > 1
    return spread_experts or four_bit or unusual


def _is_calibrated(question: Question, constants: SpeedConstants, *, fitted: bool) -> bool:
    """Whether the fit has rows of this engine on this GPU; none has any of a slice or a share."""
    pool = question.pool
    return fitted and not pool.sliced and pool.gpu.name in constants.boards


def _provenance(
    question: Question, layout: Parallelism, constants: SpeedConstants, *, fitted: bool
) -> str:
    itl, ttft = (round(100 * x) for x in constants.spread)
    origin = f"{constants.rows} measured rows of {constants.engine}"
    text = f"calibrated on {origin}; median error on models left out: itl {itl} %, ttft {ttft} %"
    if not fitted:
        text = f"estimated with constants of {constants.engine}: no rows of {question.engine.name}"
    elif not _is_calibrated(question, constants, fitted=fitted):
        part = "a part of " if question.pool.sliced else ""
        text = (
            f"estimated, not calibrated: no measured rows of {constants.engine} on "
            f"{part}{question.pool.gpu.name}; constants of {origin} on other NVIDIA GPUs"
        )
    unvalidated = "; pipeline parallelism is not validated" if layout.pipeline > 1 else ""
    return text + unvalidated
