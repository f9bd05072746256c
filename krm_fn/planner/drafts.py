"""What speculative decoding adds: the weights of what drafts, and its layers of the KV cache.

Nothing is said of the speed: how many drafts are accepted depends on the text.
"""

from dataclasses import replace

from krm_fn.catalog.shape import Attention, Mla, ModelShape
from krm_fn.planner.cache_spec import CacheSpec
from krm_fn.planner.extras import Draft
from krm_fn.planner.kv_cache import cache_specs
from krm_fn.planner.memory_term import MemoryTerm, count
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.planner.storage import loaded_itemsize
from krm_fn.planner.stored import layout, stored_layers
from krm_fn.planner.weights import VOCAB_PADDING, Split, on_gpu, split_of, weights_bytes

MTP_NORMS = 3
"""Of the embedding, of the hidden state, and the last one."""
EAGLE3_STATES = 3
"""Hidden states of the model that are joined (llama_eagle3.py:num_aux_hidden_states, 0.33)."""


def draft_bytes(question: Question, parallelism: Parallelism, serving: Serving) -> int:
    """Bytes of weights on a GPU of the last stage, beside those of the model."""
    draft = question.extras.draft
    if draft is None or draft.method == "ngram":
        return 0
    if draft.method == "mtp":
        return mtp_bytes(question, parallelism, serving, draft)
    assert draft.shape is not None
    if draft.method == "eagle3":
        return eagle3_bytes(question, parallelism, serving, draft.shape)
    alone = replace(parallelism, pipeline=1, expert=1)
    dtype = None if serving.dtype == "auto" else serving.dtype
    by = split_of(question, alone, draft.shape)
    return weights_bytes(draft.shape, alone, dtype=dtype, by=by)[0]


def mtp_bytes(question: Question, parallelism: Parallelism, serving: Serving, draft: Draft) -> int:
    """Per layer of MTP: a decoder layer like the last one, a projection of 2 x hidden to hidden in
    the model's dtype, three norms; embedding and head are the model's, which it lacks in a
    pipeline's last stage (embedding) or keeps twice (head, vLLM before 0.16).

    vllm/model_executor/models/deepseek_mtp.py, qwen3_next_mtp.py, mimo_mtp.py;
    v1/spec_decode/llm_base_proposer.py:_maybe_share_embeddings, _maybe_share_lm_head (0.33).
    """
    shape, by = question.shape, split_of(question, parallelism)
    kinds, order, _, _ = stored_layers(shape, layout(shape, serving.quantization))
    size = _itemsize(shape, serving)
    projection = 2 * shape.hidden_size**2 // (by.tensor if draft.rules.sharded else 1)
    vocabulary = _vocabulary(shape.vocab_size, shape.hidden_size, by)
    each = on_gpu(kinds[order[-1]], by, size)
    each += (projection + MTP_NORMS * shape.hidden_size) * size
    each += vocabulary * size if draft.rules.own_head else 0
    whole = vocabulary * size if parallelism.pipeline > 1 else 0
    return draft.layers * each + whole


def eagle3_bytes(
    question: Question, parallelism: Parallelism, serving: Serving, head: ModelShape
) -> int:
    """Its layers, the first of which takes two hidden states into Q, K and V; a projection of three
    states of the model; norms; an output head over the draft's vocabulary; the embedding is the
    model's where they are equally wide.

    vllm/model_executor/models/llama_eagle3.py (0.33); sglang/srt/models/llama_eagle3.py (0.5.23).
    """
    shape, by = question.shape, split_of(question, parallelism)
    size, hidden = _itemsize(shape, serving), head.hidden_size
    kinds, order, _, last = stored_layers(head, None)
    found = sum(on_gpu(kinds[kind], by, size) for kind in order) + on_gpu(last, by, size)
    first = head.layers[0].mixer
    assert isinstance(first, Attention)
    local = first.num_heads // by.attention * first.head_dim
    local += 2 * max(1, first.num_kv_heads // by.attention) * first.head_dim
    found += (hidden * local + hidden + EAGLE3_STATES * shape.hidden_size * hidden) * size
    if hidden != shape.hidden_size or parallelism.pipeline > 1:
        found += _vocabulary(shape.vocab_size, hidden, by) * size
    return found


def _vocabulary(words: int, hidden: int, by: Split) -> int:
    padded = -(-words // VOCAB_PADDING) * VOCAB_PADDING
    return -(-padded // by.tensor) * hidden


def _itemsize(shape: ModelShape, serving: Serving) -> int:
    return loaded_itemsize(shape.dtype, None if serving.dtype == "auto" else serving.dtype)


def with_draft(
    specs: tuple[tuple[CacheSpec, ...], ...],
    question: Question,
    parallelism: Parallelism,
    serving: Serving,
) -> tuple[tuple[CacheSpec, ...], ...]:
    """The caches of the layers, the draft's among those of the last: both end the last stage.

    MTP layers attend like the model's last full layer; vLLM gives other drafts their own heads,
    SGLang one of the model's layers for each (pool_configurator.py: cell += cell x draft layers /
    layers, 0.5.14-0.5.23).
    """
    draft = question.extras.draft
    if draft is None or draft.method == "ngram":
        return specs
    layers = draft.layers or len(draft.shape.layers if draft.shape else ())
    if draft.shape and not draft.rules.like_target:
        own = cache_specs(draft.shape, parallelism, serving, question.engine)
        added = tuple(spec for layer in own for spec in layer)
    else:
        added = specs[_last_full(question.shape)] * layers
    return (*specs[:-1], (*specs[-1], *added))


def _last_full(shape: ModelShape) -> int:
    """The last layer that keeps every token."""
    found = (
        index
        for index in reversed(range(len(shape.layers)))
        if isinstance(mixer := shape.layers[index].mixer, Attention | Mla) and not mixer.window
    )
    return next(found, len(shape.layers) - 1)


def draft_terms(
    question: Question, parallelism: Parallelism, serving: Serving, *, last: bool
) -> tuple[MemoryTerm, ...]:
    """The draft as a part of the weights: it is loaded with the model."""
    draft = question.extras.draft
    if draft is None or not last:
        return ()
    size = draft_bytes(question, parallelism, serving)
    layers = draft.layers or len(draft.shape.layers if draft.shape else ())
    what = {
        "mtp": f"{layers} x (decoder layer like the last, projection, norms)",
        "eagle3": f"{layers} x layer, the first of two hidden states, projection and head",
        "draft": f"a model of {layers} layers, split like this one",
        "ngram": "nothing: tokens are looked up in the prompt",
    }[draft.method]
    text = f"{what} = {count(size)} B; the caches of its layers stand among those below"
    return (
        MemoryTerm(
            field="weights_bytes.draft",
            amount=size,
            formula=text if layers else what,
            source=draft.rules.source,
        ),
    )
