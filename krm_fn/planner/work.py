"""What one token costs: bytes that must be read and operations that must be done.

Of a model as it is loaded and cached; tensors and their layouts are those of `tensors.py` and
`storage.py`, caches those of `kv_cache.py`. Bytes and operations only, no times.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache

from krm_fn.catalog.shape import Attention, Layer, Mla, ModelShape, Moe, Quantization
from krm_fn.planner.kv_cache import CacheSpec, cache_specs
from krm_fn.planner.patterns import Patterns
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.planner.storage import loaded_itemsize
from krm_fn.planner.stored import layout as quantization_layout
from krm_fn.planner.stored import quantised
from krm_fn.planner.tensor import Tensor
from krm_fn.planner.tensors import first_tensors, layer_tensors

_ATTENTION = frozenset({"attention", "mla", "state"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """Cache and attention of `layers` equal layers.

    `specs` = what one GPU keeps of one layer. `window` = tokens that a new token can see, None =
    all; `attended` = tokens of them that sparse attention reads. `decode_operations` per new token
    and token read, `prefill_operations` per pair of tokens, of one layer on all GPUs.
    """

    layers: int
    specs: tuple[CacheSpec, ...] = ()
    window: int | None = None
    attended: int | None = None
    decode_operations: float = 0.0
    prefill_operations: float = 0.0

    def kept_bytes(self, length: float) -> float:
        """Bytes of one layer's cache for a sequence of `length` tokens."""
        return sum(
            spec.state_bytes + spec.token_bytes * min(length, spec.reach or length)
            for spec in self.specs
        )

    def moved_bytes(self, length: float) -> float:
        """Bytes that a decode step moves: tokens read, states read and written."""
        return sum(
            2 * spec.state_bytes + spec.token_bytes * min(self.seen(length), spec.reach or length)
            for spec in self.specs
        )

    def seen(self, length: float) -> float:
        """Tokens that a new token attends to."""
        return min(length, self.window or length, self.attended or length)

    def pairs(self, length: float) -> float:
        """Pairs (token, earlier token) of a causal prompt: n^2/2, or w n - w^2/2 in a window."""
        window = min(length, self.window or length, self.attended or length)
        return window * length - window**2 / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Sums over tensors. Bytes: what every step reads, by who shares it, and all routed experts.

    `attention_bytes` are split over the attention's GPUs, `dense_bytes` over all of the tensor
    group, `replicated_bytes` (latent down-projections, routers, norms) over none. Parameters that
    one token uses in quantised (`packed`) and in 16-bit matrices.
    """

    attention_bytes: float = 0.0
    dense_bytes: float = 0.0
    replicated_bytes: float = 0.0
    expert_bytes: float = 0.0
    packed_parameters: float = 0.0
    plain_parameters: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One model on one layout. The input embedding is a look-up and counts nowhere."""

    layers: int
    moe_layers: int
    hidden_size: int
    experts: int
    experts_per_token: int
    weights: Weights
    head_bytes: float
    head_parameters: float
    caches: tuple[Cache, ...]

    @property
    def sparse_layers(self) -> int:
        """Layers whose attention chooses the tokens it reads."""
        return sum(c.layers for c in self.caches if c.attended)

    def coverage(self, batch: float) -> float:
        """Share of the experts that a batch reads: max(1 - (1 - k/E)^(0.7 B), k/E).

        0.7 = routing is skewed. Source: performance-model.md 5.
        """
        if not self.experts:
            return 0.0
        share = self.experts_per_token / self.experts
        return float(max(1 - (1 - share) ** (0.7 * batch), share))

    def kept_bytes(self, length: float) -> float:
        """KV cache and states of one sequence on one GPU, all layers."""
        return sum(c.layers * c.kept_bytes(length) for c in self.caches)

    def moved_bytes(self, length: float) -> float:
        """What one decode step of one sequence moves of them on one GPU, all layers."""
        return sum(c.layers * c.moved_bytes(length) for c in self.caches)

    def decode_operations(self, length: float) -> float:
        """Attention operations of one new token after `length` others."""
        return sum(c.layers * c.decode_operations * c.seen(length) for c in self.caches)

    def prefill_operations(self, length: float, cached: float) -> float:
        """Attention operations of a prompt whose first `cached` tokens are in the cache."""
        return sum(
            c.layers * c.prefill_operations * (c.pairs(length) - c.pairs(cached))
            for c in self.caches
        )


def work(question: Question, parallelism: Parallelism, serving: Serving) -> Work:
    """Sums over the layers; equal layers share one object, so they are counted by identity."""
    shape = question.shape
    counts = Counter(map(id, shape.layers))
    first = {id(layer): i for i, layer in reversed(list(enumerate(shape.layers)))}
    kinds = [(shape.layers[index], counts[key], index) for key, index in first.items()]
    moe = next((layer.ffn for layer, _, _ in kinds if isinstance(layer.ffn, Moe)), None)
    itemsize = loaded_itemsize(shape.dtype, serving.dtype)
    head = 0 if shape.task == "embed" else shape.vocab_size * shape.hidden_size
    specs = cache_specs(shape, parallelism, serving, question.engine)
    return Work(
        layers=len(shape.layers),
        moe_layers=sum(n for layer, n, _ in kinds if isinstance(layer.ffn, Moe)),
        hidden_size=shape.hidden_size,
        experts=moe.num_experts if moe else 0,
        experts_per_token=moe.experts_per_token if moe else 0,
        weights=_weights(shape, kinds, quantization_layout(shape, serving.quantization), itemsize),
        head_bytes=head * itemsize,
        head_parameters=head,
        caches=tuple(_cache(layer, n, specs[index]) for layer, n, index in kinds),
    )


def _weights(
    shape: ModelShape,
    kinds: list[tuple[Layer, int, int]],
    stored: Quantization | None,
    itemsize: int,
) -> Weights:
    hidden = shape.hidden_size
    parts = [(1, _first_weights(shape, itemsize))] if shape.per_layer_input else []
    parts += [
        (count, _layer_weights(layer, hidden, index, stored, itemsize))
        for layer, count, index in kinds
    ]
    names = Weights.__slots__
    return Weights(**{name: sum(n * getattr(w, name) for n, w in parts) for name in names})


def _first_weights(shape: ModelShape, itemsize: int) -> Weights:
    """The projection of Gemma's per-layer inputs; it stays in 16 bit."""
    count = sum(t.parameters for t in first_tensors(shape) if t.linear)
    return Weights(dense_bytes=count * itemsize, plain_parameters=count)


@lru_cache(maxsize=1024)
def _layer_weights(
    layer: Layer, hidden: int, index: int, stored: Quantization | None, itemsize: int
) -> Weights:
    """The sums of one decoder layer, with the layouts that its first occurrence has."""
    kept = Patterns(stored.kept) if stored and stored.kept else None
    used = layer.ffn.experts_per_token if isinstance(layer.ffn, Moe) else 0
    sums: dict[str, float] = defaultdict(float)
    for tensor in layer_tensors(layer, hidden):
        how = _stored(tensor, f"layers.{index}.{tensor.name}", stored, kept)
        width = _width(how) if how else tensor.itemsize or itemsize
        sums[_share(tensor)] += tensor.parameters * width
        active = used if tensor.experts else tensor.count
        sums["packed_parameters" if how else "plain_parameters"] += (
            tensor.rows * tensor.columns * active
        )
    return Weights(**sums)


def _width(how: Quantization) -> float:
    """Bytes of one quantised weight: bits / 8 and its share of a scale and a zero point."""
    rows, columns = how.block or (1, how.group_size or 0)
    zero = how.bits / 8 if how.zero_points else 0
    shared = (how.scale_bytes + zero) / (rows * columns) if columns > 0 else 0.0
    return how.bits / 8 + shared


def _share(tensor: Tensor) -> str:
    if tensor.experts:
        return "expert_bytes"
    if tensor.shard == "replicated":
        return "replicated_bytes"
    return "attention_bytes" if tensor.cls in _ATTENTION else "dense_bytes"


def _stored(
    tensor: Tensor, name: str, stored: Quantization | None, kept: Patterns | None
) -> Quantization | None:
    """The layout of one tensor: kept in 16 bit, an override by name, or the checkpoint's."""
    if stored is None or not tensor.linear or (kept and kept.match(name)):
        return None
    overrides = (other for pattern, other in stored.overrides if Patterns((pattern,)).match(name))
    other = next(overrides, stored if quantised(tensor, stored) else None)
    return other if other and other.bits < 16 else None


def _cache(layer: Layer, count: int, specs: tuple[CacheSpec, ...]) -> Cache:
    """Attention per token: 2 h (d_k + d_v) operations; latent 2 h (2 rank + rope) in decode."""
    match layer.mixer:
        case Attention() as a:
            operations = 2 * a.num_heads * (a.head_dim + a.v_head_dim)
            window = a.window or a.chunk
            return Cache(
                layers=count,
                specs=tuple(s for s in specs if s.kind != "cross"),
                window=window,
                decode_operations=operations,
                prefill_operations=operations,
            )
        case Mla() as m:
            key = m.qk_nope_head_dim + m.qk_rope_head_dim
            return Cache(
                layers=count,
                specs=specs,
                attended=m.index_topk,
                decode_operations=2 * m.num_heads * (2 * m.kv_lora_rank + m.qk_rope_head_dim),
                prefill_operations=2 * m.num_heads * (key + m.v_head_dim),
            )
    return Cache(layers=count, specs=specs)
