"""The memory terms of each pipeline stage, before the KV cache: weights, activations, the rest."""

from dataclasses import dataclass
from math import ceil, hypot
from typing import TypeVar

from krm_fn.planner.activation import activation_bytes, graph_bytes, resident_bytes
from krm_fn.planner.adapters import lora_bytes
from krm_fn.planner.drafts import draft_bytes
from krm_fn.planner.limits import Activation, Graphs, Overhead, Relative, Where
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.planner.rehearsal import rehearsal, rehearsed_blocks
from krm_fn.planner.stages import stages, weights_by_stage

WEIGHTS = Relative(
    spread=0.005,
    measurements=61,
    source="memory-measured.csv, all versions and GPUs: median 0.1 %, 38 of 61 rows within 0.5 %, "
    "57 within 3.5 %, docs/accuracy.md",
)
NOTHING = Overhead(where=Where(), bytes=0, spread_bytes=0, measurements=0, source="not measured")

Row = TypeVar("Row", Overhead, Activation, Graphs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Half-width of the range of one term, from so many measurements."""

    what: str
    bytes: float
    measurements: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """Bytes of one pipeline stage, layers [first, last), on one GPU.

    `context` is used before the engine's baseline. `charged_graphs` is what the engine subtracts
    for CUDA graphs, `graphs` what they take. `resident` comes after the KV cache was sized.
    `weights` has `lora`, the slots of adapters, and `draft`, what drafts, in it. `rehearsed` =
    blocks of the cache that graphs are rehearsed with before it is sized. `spreads` = how far each
    term that is charged to the budget can be off.
    """

    first: int
    last: int
    total: int
    context: int
    budget: int
    weights: int
    activation: int
    non_torch: int
    graphs: int
    charged_graphs: int
    resident: int
    spreads: tuple[Spread, ...]
    activation_charged: bool
    lora: int = 0
    draft: int = 0
    rehearsed: int = 0

    @property
    def uncertainty(self) -> int:
        """They are independent, so their squares add up."""
        return int(hypot(*(spread.bytes for spread in self.spreads)))

    @property
    def available(self) -> int:
        """Bytes for the KV cache; negative = the weights do not fit the budget."""
        activation = self.activation if self.activation_charged else 0
        return self.budget - self.weights - activation - self.non_torch - self.charged_graphs

    @property
    def headroom(self) -> int:
        """What is physically left when the budget is full: total - context - budget, less graphs
        and activations that the budget does not hold. Negative = out of memory at the start.
        """
        return self.total - self.budget - sum(size for _, size in self.outside)

    @property
    def outside(self) -> tuple[tuple[str, int], ...]:
        """What the budget does not hold, by name."""
        return (
            ("CUDA context", self.context),
            ("CUDA graphs", self.graphs - self.charged_graphs),
            ("expert kernels", self.resident),
            ("activations", 0 if self.activation_charged else self.activation),
        )

    def rehearsal_room(self, block_bytes: int) -> int:
        """What the GPU has left while graphs are rehearsed, whatever the budget."""
        held = self.context + self.non_torch + self.weights
        return self.total - held - self.rehearsed * block_bytes


def matching(rows: tuple[Row, ...], question: Question, parallelism: Parallelism) -> Row | None:
    """The first row that holds for the GPU and for the ranks that talk to each other."""
    gpu, memory = question.pool.gpu, question.pool.gpu_memory_bytes
    ranks = parallelism.tensor * sharing_experts(question, parallelism)
    found = (r for r in rows if r.where.holds(gpu, memory, ranks, parallelism.pipeline))
    return next(found, None)


def sharing_experts(question: Question, parallelism: Parallelism) -> int:
    """Data-parallel ranks whose GPUs hold one set of experts together."""
    spans = question.engine.experts_span_data and question.shape.is_moe
    return parallelism.data if spans else 1


def overhead(rows: tuple[Overhead, ...], question: Question, parallelism: Parallelism) -> Overhead:
    """The measured term for this GPU and layout; nothing without a row."""
    return matching(rows, question, parallelism) or NOTHING


def budget_bytes(question: Question, parallelism: Parallelism, serving: Serving) -> int:
    """Bytes that the memory fraction grants.

    "total": ceil(total x fraction) (vllm/v1/worker/utils.py:request_memory, 0.16-0.33);
    "free": (total - context and communicators) x fraction
    (sglang kv_cache_configurator.py:_profile_available_bytes, 0.5.23).
    """
    engine, base = question.engine, question.pool.gpu_memory_bytes
    if engine.memory_basis == "free":
        base -= overhead(engine.context, question, parallelism).bytes
    return ceil(base * serving.memory_fraction)


def stage_terms(
    question: Question, parallelism: Parallelism, serving: Serving
) -> tuple[Terms, ...]:
    """The terms of each pipeline stage, in order."""
    weights = weights_by_stage(question, parallelism, serving)
    bounds = stages(len(question.shape.layers), parallelism.pipeline)
    return tuple(
        _terms(question, parallelism, serving, bound, held)
        for bound, held in zip(bounds, weights, strict=True)
    )


def _peak(
    question: Question,
    parallelism: Parallelism,
    serving: Serving,
    rule: Activation,
    *,
    last: bool,
) -> int:
    shared = sharing_experts(question, parallelism)
    return activation_bytes(question.shape, rule, parallelism, serving, last=last, copies=shared)


def _spread(what: str, size: float, row: Overhead | Activation | Graphs) -> tuple[Spread, ...]:
    return (Spread(what=what, bytes=size, measurements=row.measurements),) if size else ()


def _terms(
    question: Question,
    parallelism: Parallelism,
    serving: Serving,
    bound: tuple[int, int],
    weights: int,
) -> Terms:
    engine, shape = question.engine, question.shape
    lora = lora_bytes(question, parallelism, serving, *bound)
    draft = draft_bytes(question, parallelism, serving) if bound[1] == len(shape.layers) else 0
    weights += lora + draft
    rule = matching(engine.activation, question, parallelism)
    graphs = matching(engine.graphs, question, parallelism)
    end = bound[1] == len(shape.layers)
    peak = _peak(question, parallelism, serving, rule, last=end) if rule else 0
    captured = graph_bytes(shape, graphs, parallelism, serving) if graphs else 0
    rehearsed = rehearsal(question)
    charged = graphs.estimate if graphs and rehearsed and rehearsed.charged else 0.0
    context = overhead(engine.context, question, parallelism)
    growth = overhead(engine.non_torch, question, parallelism)
    free = engine.memory_basis == "free"
    spreads = (
        Spread(what="weights", bytes=WEIGHTS.spread * weights, measurements=WEIGHTS.measurements),
        *(
            _spread("activations", rule.spread * peak, rule)
            if rule and engine.activation_charged
            else ()
        ),
        *_spread("other memory after the baseline", growth.spread_bytes, growth),
        *(_spread("memory before the baseline", context.spread_bytes, context) if free else ()),
        *(
            _spread("CUDA graphs", graphs.spread_bytes, graphs)
            if graphs and charged and captured
            else ()
        ),
    )
    return Terms(
        first=bound[0],
        last=bound[1],
        total=question.pool.gpu_memory_bytes,
        context=context.bytes,
        budget=budget_bytes(question, parallelism, serving),
        weights=weights,
        activation=peak,
        non_torch=growth.bytes,
        graphs=captured,
        charged_graphs=int(captured * charged),
        resident=resident_bytes(shape, rule) if rule else 0,
        spreads=spreads,
        activation_charged=engine.activation_charged,
        lora=lora,
        draft=draft,
        rehearsed=rehearsed_blocks(rehearsed, graphs, serving),
    )
