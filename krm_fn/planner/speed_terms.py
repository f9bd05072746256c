"""The speed of a plan term by term, with formula, numbers, range and source, for `explain`.

The formulas are those of `speed.py` and `roofline.py`; the figures of a line come to its amount.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from krm_fn.planner.memory_term import count
from krm_fn.planner.plan import Estimate, Question
from krm_fn.planner.roofline import cache_read_bytes, weights_read_bytes
from krm_fn.planner.speed import Speed, decode_seconds, exchange_seconds, step_bounds
from krm_fn.units import milliseconds

BOUND, FIT = "planner/roofline.py: bytes / bandwidth, operations / peak", "planner/speed.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedTerm:
    """One figure: `part.of` below the figure it belongs to; seconds, or a rate with its `unit`."""

    field: str
    amount: float
    formula: str
    source: str
    interval: tuple[float, float] = (1.0, 1.0)
    unit: str = ""

    @property
    def text(self) -> str:
        return self._said(self.amount)

    @property
    def range(self) -> str:
        """`126 ms to 337 ms`, or nothing for what is exact."""
        low, high = (self._said(self.amount * factor) for factor in self.interval)
        return f"{low} to {high}" if self.interval != (1.0, 1.0) else ""

    def _said(self, amount: float) -> str:
        return f"{amount:.3g} {self.unit}" if self.unit else milliseconds(amount)


def speed_terms(question: Question, s: Speed, estimate: Estimate) -> Iterator[SpeedTerm]:
    """TTFT, ITL and throughput at the planned number of users, each after its parts."""
    running = min(estimate.concurrency, s.capacity)
    yield from _peak(question, s)
    yield from _ttft(s, estimate, running)
    if not s.embeds:
        yield from _itl(s, estimate, running)
    yield from _throughput(s, estimate, running)


def _peak(question: Question, s: Speed) -> Iterator[SpeedTerm]:
    """P: the operations of one prompt at the GPUs' peak."""
    w, new, rate = s.work.weights, s.new_tokens, s.rates
    load = s.workload
    attention = s.work.prefill_operations(load.input_tokens, load.input_tokens - new)
    gpus = s.layout.tensor * s.layout.pipeline
    matrices = [
        f"2 x {count(amount)} parameters x {count(new)} tokens / {_peta(peak)}"
        for amount, peak in ((w.packed_parameters, rate.packed), (w.plain_parameters, rate.plain))
        if amount
    ]
    total = f"{' + '.join(matrices)} + {attention:.4g} of attention / {_peta(rate.plain)}"
    yield SpeedTerm(
        field="prompt at peak",
        amount=s.prefill_compute,
        formula=f"({total}){_shared(gpus)}" if gpus > 1 else total,
        source=f"{BOUND}; {question.pool.gpu.source}",
    )


def _ttft(s: Speed, estimate: Estimate, running: float) -> Iterator[SpeedTerm]:
    c, w, batch = s.constants, s.work, s.per_copy(running)
    factor = c.prefill_moe if w.moe_layers else c.prefill
    read = weights_read_bytes(w, s.layout, s.new_tokens) / s.layout.pipeline
    yield SpeedTerm(
        field="ttft.prompt",
        amount=s.prompt_seconds,
        formula=f"max({factor:g} x {milliseconds(s.prefill_compute)}, {c.weights:g} x "
        f"{count(int(read))} B of weights / {_bandwidth(s)})",
        source=f"{FIT}, fitted",
    )
    moe = f" + {w.moe_layers} of experts x {_micro(c.prefill_moe_layer)}" if w.moe_layers else ""
    yield SpeedTerm(
        field="ttft.overhead",
        amount=s.overhead_seconds,
        formula=f"{w.layers} layers x {_micro(c.prefill_layer)}{moe}, whatever the length",
        source=f"{FIT}, fitted",
    )
    others = s.prompt_seconds if s.embeds else s.waiting_seconds
    how = f"{c.waiting:g} x {milliseconds(s.prefill_compute)} + {w.layers} x "
    each = "their prompts" if s.embeds else f"({how}{_micro(c.waiting_layer)})"
    yield SpeedTerm(
        field="ttft.others",
        amount=(batch - 1) * others,
        formula=f"{count(batch - 1)} others before it x {each}",
        source=f"{FIT}, fitted",
    )
    queue = (estimate.concurrency - running) / estimate.requests_per_second_per_replica
    told = "prompt + overhead + others"
    if queue:
        told += f" + {estimate.concurrency - running:g} users who wait for a place"
    yield SpeedTerm(
        field="ttft",
        amount=estimate.ttft_seconds,
        formula=f"max({milliseconds(s.ttft_floor)} that no engine beats, {told}), at "
        f"{estimate.concurrency} requests at once",
        source=estimate.provenance,
        interval=estimate.ttft_interval,
    )


def _itl(s: Speed, estimate: Estimate, running: float) -> Iterator[SpeedTerm]:
    batch = s.per_copy(running)
    micro = max(1.0, batch / s.layout.pipeline)
    yield from _step(s, micro)
    outputs = max(1, s.workload.output_tokens)
    c = s.constants
    yield SpeedTerm(
        field="itl.others",
        amount=c.interference * (batch - 1) * s.prefill_compute / outputs,
        formula=f"{c.interference:g} x {count(batch - 1)} others' prompts of "
        f"{milliseconds(s.prefill_compute)} over {outputs} tokens",
        source=f"{FIT}, fitted",
    )
    read, compute = step_bounds(s, micro)
    yield SpeedTerm(
        field="itl.floor",
        amount=estimate.itl_floor_seconds,
        formula=f"max({milliseconds(read)} of reading, {milliseconds(compute)} of computing): no "
        "engine does better on this GPU",
        source=BOUND,
    )
    yield SpeedTerm(
        field="itl",
        amount=estimate.itl_seconds,
        formula=f"max(floor, {milliseconds(decode_seconds(s, batch))} of a step + others)",
        source=estimate.provenance,
        interval=estimate.itl_interval,
    )


def _step(s: Speed, batch: float) -> Iterator[SpeedTerm]:
    """One decode step of `batch` sequences."""
    c, w, load = s.constants, s.work, s.workload
    weights = weights_read_bytes(w, s.layout, batch)
    shared = f", {w.coverage(batch):.0%} of the experts" if w.experts else ""
    yield SpeedTerm(
        field="itl.weights",
        amount=c.weights * weights / s.rates.memory,
        formula=f"{c.weights:g} x {count(int(weights))} B a GPU reads{shared} / {_bandwidth(s)}",
        source=f"{FIT}, fitted on the GPU's bandwidth",
    )
    cache = cache_read_bytes(s.layout, batch, s.sequence_bytes)
    yield SpeedTerm(
        field="itl.cache",
        amount=c.cache * cache / s.rates.memory,
        formula=f"{c.cache:g} x {count(int(cache))} B of {count(batch)} sequences of "
        f"{load.input_tokens} + {load.output_tokens} / 2 tokens / {_bandwidth(s)}",
        source=f"{FIT}, fitted on the GPU's bandwidth",
    )
    kinds = (
        (w.layers, c.layer, "layers"),
        (w.moe_layers, c.moe_layer, "of experts"),
        (w.sparse_layers, c.sparse_layer, "of sparse attention"),
    )
    layers = " + ".join(f"{n} {what} x {_micro(each)}" for n, each, what in kinds if n)
    yield SpeedTerm(
        field="itl.launches",
        amount=sum(n * each for n, each, _ in kinds) + c.sequence * batch + c.step,
        formula=f"{layers} + {count(batch)} sequences x {_micro(c.sequence)} + {_micro(c.step)}",
        source=f"{FIT}, fitted",
    )
    exchange = exchange_seconds(s, batch)
    if exchange:
        slow = 0.0 if s.rates.nvlink else c.all_reduce_pcie
        yield SpeedTerm(
            field="itl.exchange",
            amount=exchange,
            formula=f"2 x {w.layers} layers x ({_micro(c.all_reduce + slow)} + {c.exchange:g} x "
            f"2 x {count(batch)} x {w.hidden_size} x 2 B / {s.rates.link / 1e9:g} GB/s)",
            source=f"{FIT}, fitted on the GPU's link",
        )


def _throughput(s: Speed, estimate: Estimate, running: float) -> Iterator[SpeedTerm]:
    rate, outputs = estimate.requests_per_second_per_replica, s.workload.output_tokens
    ttft = estimate.ttft_seconds - (estimate.concurrency - running) / rate
    rest = 0.0 if s.embeds else estimate.itl_seconds * max(0, outputs - 1)
    interval = _rate_interval(estimate, ttft, rest)
    later = "" if s.embeds else f" + {milliseconds(estimate.itl_seconds)} x {max(0, outputs - 1)}"
    yield SpeedTerm(
        field="requests per second",
        amount=rate,
        formula=f"{running:g} requests at once / ({milliseconds(ttft)}{later}) per replica "
        f"(Little's law), bound by {estimate.bound}",
        source=f"{FIT}; range from those of ttft and itl",
        interval=interval,
        unit="requests/s",
    )
    if not s.embeds:
        yield SpeedTerm(
            field="tokens per second per GPU",
            amount=estimate.output_tokens_per_second_per_gpu,
            formula=f"{rate:.3g} requests/s x {outputs} tokens{_shared(s.layout.gpus)}",
            source=f"{FIT}; range as above",
            interval=interval,
            unit="tokens/s",
        )


def _rate_interval(estimate: Estimate, ttft: float, rest: float) -> tuple[float, float]:
    """Slowest and fastest request of the ranges, as factors on the rate."""
    whole = ttft + rest
    pairs = zip(estimate.ttft_interval, estimate.itl_interval, strict=True)
    fast, slow = (ttft * first + rest * later for first, later in pairs)
    return whole / slow, whole / fast


def _shared(gpus: int) -> str:
    return f" / {gpus} GPUs" if gpus > 1 else ""


def _bandwidth(s: Speed) -> str:
    return f"{s.rates.memory / 1e9:g} GB/s"


def _peta(rate: float) -> str:
    return f"{rate / 1e12:g} Top/s"


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:g} us"
