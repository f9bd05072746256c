"""Groups for layers whose blocks hold different numbers of tokens (DeepSeek V4), packed together.

Source: vllm/v1/core/kv_cache_planning.py:_get_packed_kv_cache_groups (0.33; kv_cache_utils.py in
0.32, whose answer for DeepSeek V4 Flash this equals).
"""

from krm_fn.planner.cache_spec import CacheSpec

Buckets = dict[CacheSpec, list[int]]
Kind = tuple[str, int, int]


def packed(buckets: Buckets) -> tuple[tuple[tuple[CacheSpec, tuple[int, ...]], ...], ...]:
    """Groups of (spec, layers); layers of one kind, reach and block size share a block table.

    A kind with as many layers of each page size repeats a pattern; all such kinds are cut into
    groups of about as many repeats, others stay whole.
    """
    kinds: dict[Kind, Buckets] = {}
    for spec, layers in buckets.items():
        kinds.setdefault((spec.kind, spec.reach, spec.block), {})[spec] = layers
    repeats = common_repeats(tuple(kinds.values()))
    return tuple(group for kind in kinds.values() for group in _cut(kind, repeats))


def balanced(kind: Buckets) -> bool:
    """Whether a kind has as many layers of each page size."""
    return len(set(map(len, kind.values()))) == 1


def widest(kind: Buckets) -> int:
    """Layers that share the most frequent page size."""
    return max(map(len, kind.values()))


def common_repeats(kinds: tuple[Buckets, ...]) -> int:
    """Repeats per group that pad the least (_approximate_gcd); 0 = nothing needs packing."""
    least = max((widest(k) for k in kinds if balanced(k) and len(k) > 1), default=0)
    counts = [widest(kind) for kind in kinds if balanced(kind)]
    if not least:
        return 0
    choices = range(least, max(*counts, least) + 1)
    return min(choices, key=lambda size: (sum(-count % size for count in counts), -size))


def _cut(kind: Buckets, repeats: int) -> list[tuple[tuple[CacheSpec, tuple[int, ...]], ...]]:
    parts = -(-widest(kind) // repeats) if repeats and balanced(kind) else 1
    return [
        tuple((spec, tuple(layers[part::parts])) for spec, layers in kind.items())
        for part in range(parts)
    ]
