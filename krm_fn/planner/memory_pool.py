"""The KV pool that each pipeline stage ends up with, by either way of cutting it up."""

from dataclasses import dataclass

from krm_fn.planner.cache_blocks import Blocks, block_tokens, grouped
from krm_fn.planner.cache_spec import CacheSpec
from krm_fn.planner.cache_tokens import Batch, cells, concurrency, token_pool
from krm_fn.planner.drafts import with_draft
from krm_fn.planner.kv_cache import cache_specs
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.planner.terms import Terms, stage_terms

Layers = tuple[tuple[CacheSpec, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """The KV pool of one stage and what it holds.

    `concurrency` as printed, `usable` without the null block; `spare_bytes` = what one request of
    the full context leaves. `rehearsal_bytes` = what is left on the GPU while graphs are rehearsed
    (None = they are not) with blocks of `block_bytes`. `token_bytes` = of a pool of tokens, each.
    """

    terms: Terms
    blocks: int
    tokens: int
    concurrency: float
    usable: float
    kv_bytes: int
    spare_bytes: int
    block_size: int
    block_bytes: int = 0
    token_bytes: int = 0
    rehearsal_bytes: int | None = None

    @property
    def margin_bytes(self) -> int:
        """The least of what is left at any moment of the start."""
        left = (self.terms.headroom, self.spare_bytes, self.rehearsal_bytes)
        return min(size for size in left if size is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A model laid out on its GPUs: the terms of each stage and its caches, for any context.

    `blocks` None = one pool of tokens with pages of `page` tokens; `batch` = of one rank.
    """

    question: Question
    terms: tuple[Terms, ...]
    specs: Layers
    blocks: Blocks | None
    page: int
    batch: Batch

    def pools(self, tokens: int) -> tuple[Pool, ...]:
        """The pool of each stage when the context is `tokens`."""
        if self.blocks:
            return tuple(_block_pool(terms, self.blocks, tokens) for terms in self.terms)
        return tuple(self._token_pool(terms, tokens) for terms in self.terms)

    def usable(self, tokens: int) -> float:
        """How many requests of `tokens` the smallest pool takes."""
        return min(pool.usable for pool in self.pools(tokens))

    def _token_pool(self, terms: Terms, tokens: int) -> Pool:
        """SGLang's pool of one stage; a budget that the weights exceed stays negative."""
        rules = self.question.engine.cache
        layers = self.specs[terms.first : terms.last]
        pool = token_pool(terms.available, layers, rules, self.page, self.batch)
        held = concurrency(pool, tokens, layers, rules)
        each = pool.cell_bytes * tokens or rules.states_per_request * cells(layers).state_bytes
        return Pool(
            terms=terms,
            blocks=pool.tokens // self.page,
            tokens=pool.tokens if pool.cell_bytes else tokens,
            concurrency=held,
            usable=held,
            kv_bytes=pool.kv_bytes if terms.available > 0 else terms.available,
            spare_bytes=int(each * (held - 1)),
            block_size=self.page,
            token_bytes=pool.cell_bytes,
        )


def held(question: Question, parallelism: Parallelism, serving: Serving) -> Held:
    """The model laid out on its GPUs."""
    engine, pool = question.engine, question.pool
    own = cache_specs(question.shape, parallelism, serving, engine)
    specs = with_draft(own, question, parallelism, serving)
    found = [spec for layer in specs for spec in layer]
    latent, sparse = any(s.latent for s in found), any(s.sparse for s in found)
    page = block_tokens(engine, pool.gpu, pool.gpu_memory_bytes, latent=latent, sparse=sparse)
    paged = engine.cache.pool == "blocks"
    return Held(
        question=question,
        terms=stage_terms(question, parallelism, serving),
        specs=specs,
        blocks=block_layout(question, parallelism, serving, specs, page) if paged else None,
        page=page,
        batch=Batch(
            requests=max(1, serving.max_num_seqs // parallelism.attention_data),
            prefill_tokens=serving.max_num_batched_tokens,
        ),
    )


def block_layout(
    question: Question, parallelism: Parallelism, serving: Serving, specs: Layers, page: int
) -> Blocks:
    """Groups and block sizes of the whole model; stages hold their own layers of each group.

    Tokens in flight = batches x max_num_batched_tokens; batches = 1, 2 with asynchronous
    scheduling, as many as stages in a pipeline, one more with the second model runner
    (vllm/config/vllm.py:max_concurrent_batches, 0.33).
    """
    rules, stages = question.engine.cache, parallelism.pipeline
    batches = rules.batches_in_flight if stages == 1 else stages + rules.pipelined_batches
    return Blocks(
        groups=grouped(specs, page, rules),
        rules=rules,
        in_flight_tokens=batches * serving.max_num_batched_tokens,
        encoder_tokens=question.shape.encoder_tokens,
    )


def _block_pool(terms: Terms, blocks: Blocks, tokens: int) -> Pool:
    """num_blocks = available // bytes per block; concurrency = blocks / blocks of one request.

    One null block is never given to a request; newer versions take it off before they check that
    one request fits (get_kv_cache_configs, 0.30-0.33).
    """
    width = blocks.block_bytes(terms.first, terms.last)
    count = max(0, terms.available // width) if width else 1
    need = max(1, blocks.request_blocks(tokens))
    usable = count - 1 if blocks.rules.null_block and width else count
    concurrent = count / need
    size = blocks.block_size or tokens
    printed = {
        "blocks": count * size,
        "groups": count // max(1, len(blocks.groups)) * size,
        "capacity": int(concurrent * tokens),
    }[blocks.rules.printed]
    return Pool(
        terms=terms,
        blocks=count,
        tokens=printed,
        concurrency=concurrent,
        usable=usable / need,
        kv_bytes=terms.available,
        spare_bytes=(usable - need) * width if width else terms.available,
        block_size=size,
        block_bytes=width,
        rehearsal_bytes=terms.rehearsal_room(width) if terms.rehearsed else None,
    )
