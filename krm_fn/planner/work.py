"""What one token costs: bytes that must be read and operations that must be done.

A `Work` is the whole model, before any parallelism; `performance.py` divides it. Bytes and
operations only, no times.
"""

from collections import Counter
from dataclasses import dataclass

from krm_fn.catalog.shape import Attention, Dense, Layer, Mla, ModelShape, Moe, StateSpace

_SIXTEEN_BIT = 2
_FP8 = ("fp8", "float8", "int8")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """Cache and attention of `layers` equal layers.

    `bytes_per_token` of all KV heads of one layer; `heads` = how many GPUs it can be split over
    (1 = the MLA latent, which every GPU keeps whole). `window` = tokens after which nothing is
    added, None = grows with the text; `attended` = tokens that sparse attention reads of it.
    `decode_operations` per new token and cached token, `prefill_operations` per pair of tokens, of
    one layer. `state_bytes` per sequence and layer.
    """

    layers: int
    heads: int = 1
    bytes_per_token: float = 0.0
    window: int | None = None
    attended: int | None = None
    decode_operations: float = 0.0
    prefill_operations: float = 0.0
    state_bytes: float = 0.0

    def kept(self, length: float) -> float:
        """Tokens of a sequence that are in the cache."""
        return min(length, self.window) if self.window else length

    def read(self, length: float) -> float:
        """Tokens of the cache that a new token attends to."""
        return min(self.kept(length), self.attended) if self.attended else self.kept(length)

    def pairs(self, length: float) -> float:
        """Pairs (token, earlier token) of a causal prompt: n^2/2, or w n - w^2/2 in a window."""
        window = self.attended or self.window
        if window and length > window:
            return window * length - window**2 / 2
        return length**2 / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One model on one KV-cache dtype.

    `attention_bytes`, `dense_bytes` (dense and shared feed-forward, router), `head_bytes` are read
    by every step, of `expert_bytes` the experts that the batch touches. `packed_parameters` and
    `plain_parameters` = parameters that one token uses in quantised and in 16-bit matrices, without
    the head. The input embedding is a look-up and counts nowhere.
    """

    layers: int
    moe_layers: int
    hidden_size: int
    attention_bytes: float
    dense_bytes: float
    head_bytes: float
    expert_bytes: float
    experts: int
    experts_per_token: int
    packed_parameters: float
    plain_parameters: float
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

    def kept_bytes(self, length: float, split: int) -> float:
        """KV cache and state of one sequence of `length` tokens on one of `split` GPUs."""
        return sum(
            c.layers * (c.kept(length) * c.bytes_per_token + c.state_bytes) / min(split, c.heads)
            for c in self.caches
        )

    def read_bytes(self, length: float, split: int) -> float:
        """The same as one decode step moves it: a state is read and written."""
        return sum(
            c.layers
            * (c.read(length) * c.bytes_per_token + 2 * c.state_bytes)
            / min(split, c.heads)
            for c in self.caches
        )

    def decode_operations(self, length: float) -> float:
        """Attention operations of one new token after `length` others."""
        return sum(c.layers * c.decode_operations * c.read(length) for c in self.caches)

    def prefill_operations(self, length: float, cached: float) -> float:
        """Attention operations of a prompt whose first `cached` tokens are in the cache."""
        return sum(
            c.layers * c.prefill_operations * (c.pairs(length) - c.pairs(cached))
            for c in self.caches
        )


def work(shape: ModelShape, kv_cache_dtype: str = "auto") -> Work:
    """Sums over the layers; equal layers share one object, so they are counted by identity."""
    counts = Counter(map(id, shape.layers))
    groups = [(layer, counts[key]) for key, layer in {id(x): x for x in shape.layers}.items()]
    packed, kept = _packed_width(shape), _kept(shape)
    attention = sum(n * _mixer_parameters(layer, shape.hidden_size) for layer, n in groups)
    dense = sum(n * _dense_parameters(layer.ffn, shape.hidden_size) for layer, n in groups)
    experts = sum(n * _expert_parameters(layer.ffn, shape.hidden_size) for layer, n in groups)
    moe = next((layer.ffn for layer, _ in groups if isinstance(layer.ffn, Moe)), None)
    share = moe.experts_per_token / moe.num_experts if moe else 0.0
    head = 0 if shape.task == "embed" else shape.vocab_size * shape.hidden_size
    sums = {"attention": float(attention), "mlp": float(dense), "experts": experts * share}
    width = {part: _SIXTEEN_BIT if part in kept else packed for part in sums}
    plain = sum(count for part, count in sums.items() if width[part] == _SIXTEEN_BIT)
    return Work(
        layers=len(shape.layers),
        moe_layers=sum(n for layer, n in groups if isinstance(layer.ffn, Moe)),
        hidden_size=shape.hidden_size,
        attention_bytes=attention * width["attention"],
        dense_bytes=dense * width["mlp"],
        head_bytes=head * _SIXTEEN_BIT,
        expert_bytes=experts * width["experts"],
        experts=moe.num_experts if moe else 0,
        experts_per_token=moe.experts_per_token if moe else 0,
        packed_parameters=sum(sums.values()) - plain,
        plain_parameters=plain,
        head_parameters=head,
        caches=tuple(_cache(layer, n, _cache_width(shape, kv_cache_dtype)) for layer, n in groups),
    )


def _packed_width(shape: ModelShape) -> float:
    """Bytes of a quantised weight with its scales."""
    q = shape.quantization
    if q is None:
        return _SIXTEEN_BIT
    scale = q.scale_bytes / q.group_size if q.group_size and q.group_size > 0 else 0.0
    return q.bits / 8 + scale


def _kept(shape: ModelShape) -> set[str]:
    """Parts that a quantised checkpoint leaves in 16 bit."""
    names = " ".join(shape.quantization.kept) if shape.quantization else ""
    words = {"attention": ("attn", "attention"), "mlp": ("mlp.gate_proj", "(gate|up")}
    return {part for part, parts in words.items() if any(word in names for word in parts)}


def _cache_width(shape: ModelShape, kv_cache_dtype: str) -> int:
    stated = shape.quantization.kv_cache_dtype if shape.quantization else None
    name = kv_cache_dtype if kv_cache_dtype != "auto" else stated or "auto"
    return 1 if name.startswith(_FP8) else _SIXTEEN_BIT


def _mixer_parameters(layer: Layer, hidden: int) -> int:
    match layer.mixer:
        case Attention() as a:
            query = a.num_heads * a.head_dim * (2 if a.output_gate else 1)
            values = 0 if a.k_eq_v else a.v_head_dim
            cache = 0 if a.shares_kv else a.num_kv_heads * (a.head_dim + values)
            return hidden * (query + cache + a.num_heads * a.v_head_dim)
        case Mla() as m:
            return _mla_parameters(m, hidden)
        case StateSpace() as s:
            keys, values = s.num_k_heads * s.k_head_dim, s.num_v_heads * s.v_head_dim
            return hidden * (2 * keys + 3 * values)
    return 0


def _mla_parameters(m: Mla, hidden: int) -> int:
    key = m.qk_nope_head_dim + m.qk_rope_head_dim
    query = m.num_heads * key
    rank = m.q_lora_rank
    query_parameters = rank * (hidden + query) if rank else hidden * query
    latent = hidden * (m.kv_lora_rank + m.qk_rope_head_dim)
    up = m.kv_lora_rank * m.num_heads * (m.qk_nope_head_dim + m.v_head_dim)
    index = (m.index_heads or 0) * (m.index_head_dim or 0) * (rank or hidden)
    return query_parameters + latent + up + m.num_heads * m.v_head_dim * hidden + index


def _dense_parameters(ffn: Dense | Moe | None, hidden: int) -> int:
    match ffn:
        case Dense():
            return (3 if ffn.gated else 2) * hidden * ffn.intermediate_size
        case Moe():
            size = ffn.shared_intermediate_size + ffn.dense_intermediate_size
            return (3 if ffn.gated else 2) * hidden * size + hidden * ffn.num_experts
    return 0


def _expert_parameters(ffn: Dense | Moe | None, hidden: int) -> int:
    if not isinstance(ffn, Moe):
        return 0
    matrices = 3 if ffn.gated else 2
    return ffn.num_experts * matrices * (ffn.latent_size or hidden) * ffn.intermediate_size


def _cache(layer: Layer, count: int, width: int) -> Cache:
    match layer.mixer:
        case Attention() as a:
            values = a.num_kv_heads * (a.head_dim + a.v_head_dim)
            operations = 2 * a.num_heads * (a.head_dim + a.v_head_dim)
            return Cache(
                layers=count,
                heads=a.num_kv_heads,
                bytes_per_token=0 if a.cross else values * width,
                window=a.window or a.chunk,
                decode_operations=operations,
                prefill_operations=operations,
            )
        case Mla() as m:
            key = m.qk_nope_head_dim + m.qk_rope_head_dim
            return Cache(
                layers=count,
                bytes_per_token=(m.kv_lora_rank + m.qk_rope_head_dim) * width,
                attended=m.index_topk,
                decode_operations=2 * m.num_heads * (2 * m.kv_lora_rank + m.qk_rope_head_dim),
                prefill_operations=2 * m.num_heads * (key + m.v_head_dim),
            )
        case StateSpace() as s:
            state = s.num_v_heads * s.v_head_dim * s.k_head_dim
            bytes_each = 4 if s.state_dtype == "float32" else _SIXTEEN_BIT
            return Cache(layers=count, heads=max(1, s.num_v_heads), state_bytes=state * bytes_each)
    return Cache(layers=count)
