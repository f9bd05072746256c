"""A KV cache of equal pages: groups of layers, block sizes, padding and what a request needs.

vLLM's planning, equal to vllm/v1/core/kv_cache_utils.py (0.9 to 0.32) and kv_cache_planning.py
(0.33) over the shapes of tests/data/vllm-kv-oracle.json.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from krm_fn.catalog.rows import Gpu
from krm_fn.planner.cache_packed import packed
from krm_fn.planner.cache_spec import CacheSpec
from krm_fn.planner.limits import CacheRules, EngineLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Layers that share one block table. `layers` = their positions in the model."""

    spec: CacheSpec
    layers: tuple[int, ...]
    block_size: int
    page_bytes: int
    layer_pages: tuple[int, ...] = ()

    def pages(self, first: int, last: int) -> int:
        """Bytes of one block of the group's layers in [first, last)."""
        if self.layer_pages:
            pairs = zip(self.layers, self.layer_pages, strict=True)
            return sum(page for layer, page in pairs if first <= layer < last)
        return self.page_bytes * sum(first <= layer < last for layer in self.layers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """The block layout of a model on one engine version."""

    groups: tuple[Group, ...]
    rules: CacheRules
    in_flight_tokens: int
    encoder_tokens: int

    @property
    def block_size(self) -> int:
        """Tokens of the smallest block, as the log prints tokens; 0 = states only. Windows with
        blocks of their own do not count.
        """
        found = (x for x in self.groups if x.spec.kind != "state")
        own = (x.block_size for x in found if x.spec.kind == "full" or not x.spec.block)
        return min(own, default=0)

    def block_bytes(self, first: int, last: int) -> int:
        """Bytes of one block in the pool of the stage that holds layers [first, last)."""
        return max((group.pages(first, last) for group in self.groups), default=0)

    def request_blocks(self, tokens: int) -> int:
        """Blocks that one request of `tokens` needs over all groups."""
        return sum(self.group_blocks(group, tokens) for group in self.groups)

    def group_blocks(self, group: Group, tokens: int) -> int:
        """Blocks of one group: see `max_memory_usage_bytes` of each spec in kv_cache_interface.py.

        full: ceil(L / b); window: ceil(min(w - 1 + in flight, L) / b) + 1; chunk: without the + 1
        and the - 1; state: 1, beside attention 2 or 3 with aligned prefix caching, one more per
        drafted token, ceil(L / b) with all states kept; cross: ceil(encoder / b).
        """
        spec, size = group.spec, group.block_size
        kept = {
            "full": tokens,
            "window": min(spec.reach - 1 + self.in_flight_tokens, tokens),
            "chunk": min(spec.reach + self.in_flight_tokens, tokens),
            "cross": self.encoder_tokens,
        }
        if spec.kind == "state":
            whole = -(-tokens // size)
            mode = self.rules.state_mode if self.block_size else "none"
            drafts = self.rules.draft_tokens
            return {"none": 1 + drafts, "align": 2 + spec.checkpoints + drafts, "all": whole}[mode]
        return -(-kept[spec.kind] // size) + (spec.kind == "window")


def block_tokens(
    engine: EngineLimits, gpu: Gpu, memory_bytes: int, *, latent: bool, sparse: bool
) -> int:
    """Tokens per block that the attention kernel of this GPU wants, else the engine's default."""
    kinds = ("any", *(("latent",) if latent else ()), *(("sparse",) if sparse else ()))
    rows = (row for row in engine.cache.blocks if row.kind in kinds)
    found = next((row for row in rows if row.where.holds(gpu, memory_bytes)), None)
    return found.tokens if found else engine.block_size


def hybrid_block_tokens(specs: Iterable[CacheSpec], tokens: int, rules: CacheRules) -> int:
    """The block of a hybrid: raised until an attention page holds a state.

    align x ceil(state / (align x attention bytes per token)), at least `tokens`. Source:
    vllm/platforms/interface.py:_align_hybrid_block_size (0.33), models/config.py before 0.20.
    """
    found = tuple(specs)
    attention = next((s for s in found if s.kind != "state"), None)
    state = max((s.state_bytes for s in found if s.kind == "state"), default=0)
    if not attention or not state:
        return tokens
    align = rules.latent_align if attention.latent else rules.state_align
    step = max(align, tokens)
    return max(tokens, step * -(-state // (step * attention.token_bytes)))


def grouped(
    layers: tuple[tuple[CacheSpec, ...], ...], tokens: int, rules: CacheRules
) -> tuple[Group, ...]:
    """Groups of layers with equal pages (get_kv_cache_groups, 0.9 to 0.33).

    One kind of layer: one group. Else pages are made equal and each kind is cut into groups of as
    many layers as the rarest kind has, or the most frequent if that is less than half more.
    """
    buckets: dict[CacheSpec, list[int]] = {}
    for position, specs in enumerate(layers):
        for spec in specs:
            buckets.setdefault(spec, []).append(position)
    if not buckets:
        return ()
    if any(spec.block for spec in buckets):
        return tuple(packed_group(parts) for parts in packed(buckets))
    size = hybrid_block_tokens(buckets, tokens, rules)
    if not rules.hybrid:
        buckets = promoted(buckets)
    if same_kind(buckets):
        return (uniform_group(buckets, size),)
    paged = equal_pages(buckets, size, rules)
    if paged is None:
        return grouped_in_full(buckets, size)
    return split(paged, rules.alike_factor)


def promoted(buckets: dict[CacheSpec, list[int]]) -> dict[CacheSpec, list[int]]:
    """Windows and chunks beside full layers counted in full (unify_hybrid_kv_cache_specs)."""
    if not any(spec.kind == "full" for spec in buckets):
        return buckets
    found: dict[CacheSpec, list[int]] = {}
    for spec, positions in buckets.items():
        local = spec.kind in ("window", "chunk")
        whole = replace(spec, kind="full", reach=0) if local else spec
        found.setdefault(whole, []).extend(positions)
    return found


def same_kind(buckets: dict[CacheSpec, list[int]]) -> bool:
    """Whether all layers need the same number of token slots (UniformTypeKVCacheSpecs)."""
    return len({(spec.kind, spec.reach) for spec in buckets}) == 1


def page(spec: CacheSpec, size: int) -> int:
    """Bytes of one block of one layer: a state, or ceil(tokens / ratio) entries, aligned."""
    if spec.kind == "state":
        return spec.state_bytes
    entries = -(-size // spec.ratio) * spec.token_bytes
    return -(-entries // spec.align) * spec.align


def packed_group(parts: tuple[tuple[CacheSpec, tuple[int, ...]], ...]) -> Group:
    """Layers of one kind with blocks of their own size."""
    pairs = sorted((pos, page(spec, spec.block)) for spec, places in parts for pos in places)
    first = parts[0][0]
    return Group(
        spec=first,
        layers=tuple(position for position, _ in pairs),
        block_size=first.block,
        page_bytes=page(first, first.block),
        layer_pages=tuple(pages for _, pages in pairs),
    )


def uniform_group(buckets: dict[CacheSpec, list[int]], size: int) -> Group:
    """All layers in one group; a block holds `size` tokens of every layer."""
    pairs = sorted((pos, page(spec, size)) for spec, places in buckets.items() for pos in places)
    first = next(iter(buckets))
    return Group(
        spec=first,
        layers=tuple(position for position, _ in pairs),
        block_size=size,
        page_bytes=page(first, size),
        layer_pages=tuple(pages for _, pages in pairs),
    )


def grouped_in_full(buckets: dict[CacheSpec, list[int]], size: int) -> tuple[Group, ...]:
    """Pages that cannot be made equal: every layer is counted in full."""
    whole = promoted(buckets)
    return (uniform_group(whole, size),)


def equal_pages(
    buckets: dict[CacheSpec, list[int]], size: int, rules: CacheRules
) -> tuple[Group, ...] | None:
    """One group per kind, pages of one size: larger blocks, or padding where they do not divide.

    States are padded to the page. None = cannot be made equal (unify_kv_cache_spec_page_size).
    """
    largest = max(page(spec, size) for spec in buckets)
    groups = []
    for spec, positions in buckets.items():
        own = page(spec, size)
        divides = largest % own == 0
        if spec.kind != "state" and not divides and (spec.latent or not rules.pads_pages):
            return None
        grown = largest // own if spec.kind != "state" and divides else 1
        groups.append(
            Group(spec=spec, layers=tuple(positions), block_size=size * grown, page_bytes=largest)
        )
    return tuple(groups)


def split(groups: tuple[Group, ...], alike_factor: float) -> tuple[Group, ...]:
    """Each kind cut into groups of equal layer counts; layer i goes to group i modulo the count."""
    counts = [len(group.layers) for group in groups]
    alike = max(counts) < min(counts) * alike_factor
    width = max(counts) if alike else min(counts)
    found = []
    for group in groups:
        parts = -(-len(group.layers) // width)
        found += [replace(group, layers=group.layers[part::parts]) for part in range(parts)]
    return tuple(found)
