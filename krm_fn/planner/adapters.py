"""The memory of LoRA adapters: slots on the GPUs, and the adapters themselves in the node's memory.

A slot holds A (rank x input) and B (output x rank) of every linear layer, whatever an adapter uses.
Source: vllm/lora/layers/base_linear.py, column_parallel_linear.py, fused_moe.py:create_lora_weights
(0.9-0.33); sglang/srt/lora/mem_pool.py:LoRAMemoryPool.init_buffers (0.4.9-0.5.23).
"""

from collections import Counter
from collections.abc import Iterator

from krm_fn.catalog.shape import Layer, ModelShape
from krm_fn.planner.extras import Lora, LoraRules
from krm_fn.planner.memory_term import MemoryTerm, count
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.planner.storage import loaded_itemsize
from krm_fn.planner.tensor import Tensor
from krm_fn.planner.tensors import layer_tensors
from krm_fn.planner.weights import Split, local_size, split_of

WHOLE = Split()
"""Nothing is split: an adapter as it stands in its files."""


def slot_width(shape: ModelShape, rules: LoraRules, by: Split, first: int, last: int) -> int:
    """Inputs + outputs of all layers [first, last) that one slot serves, per unit of rank.

    41,943,040 / 16 for Llama 3 8B: the trainable parameters that PEFT prints at rank 16. Inputs are
    whole where the output is split, and the other way round; only the split half shrinks.
    """
    layers = shape.layers if rules.every_stage else shape.layers[first:last]
    inside = sum(
        number * sum(_width(tensor, rules, by) for tensor in _served(layer, shape, rules))
        for layer, number in Counter(layers).items()
    )
    return inside + _ends(shape, rules, first == 0, last == len(shape.layers))


def _served(layer: Layer, shape: ModelShape, rules: LoraRules) -> Iterator[Tensor]:
    for tensor in layer_tensors(layer, shape.hidden_size):
        routes = rules.router and tensor.cls == "router" and tensor.columns > 1
        if routes or (tensor.linear and (rules.experts or not tensor.experts)):
            yield tensor


def _width(tensor: Tensor, rules: LoraRules, by: Split) -> int:
    rows, columns, copies = local_size(tensor, by)
    shared = rules.fused_experts and tensor.experts and tensor.name.endswith("gate_proj")
    return copies * (rows + (0 if shared else columns))


def _ends(shape: ModelShape, rules: LoraRules, first: bool, last: bool) -> int:  # noqa: FBT001
    """Embedding and output head, whole on every GPU: vocabulary + hidden size each
    (vocab_parallel_embedding.py, logits_processor.py).
    """
    each = shape.vocab_size + rules.extra_vocab + shape.hidden_size
    return rules.ends * each * (first + last)


def lora_bytes(
    question: Question, parallelism: Parallelism, serving: Serving, first: int, last: int
) -> int:
    """Slots x rank x (inputs + outputs) x bytes of the model's dtype, on a GPU of a stage."""
    lora = question.extras.lora
    if lora is None:
        return 0
    by = split_of(question, parallelism)
    width = slot_width(question.shape, lora.rules, by, first, last)
    extra = lora.rules.ends * lora.rules.extra_vocab * question.shape.hidden_size
    rows = (first == 0) + (last == len(question.shape.layers))
    return lora.slots * (lora.max_rank * width + extra * rows) * _itemsize(question, serving)


def adapter_bytes(question: Question, serving: Serving, lora: Lora) -> int:
    """One adapter of the largest rank in every layer, as read: rank x (in + out) x bytes."""
    layers = len(question.shape.layers)
    width = slot_width(question.shape, lora.rules, WHOLE, 0, layers)
    return lora.max_rank * width * _itemsize(question, serving)


FILE_ITEMSIZE = 4
"""PEFT saves adapters in float32 unless told otherwise."""


def file_bytes(question: Question) -> int:
    """What the adapters of the Hub take on the cache volume, at most."""
    lora = question.extras.lora
    if lora is None:
        return 0
    width = slot_width(question.shape, lora.rules, WHOLE, 0, len(question.shape.layers))
    count = sum(not source.startswith("/") for _, source in lora.adapters)
    return count * lora.max_rank * width * FILE_ITEMSIZE


def host_bytes(question: Question, parallelism: Parallelism, serving: Serving) -> int:
    """Each worker, one a GPU, holds every loaded adapter whole, pinned
    (vllm/lora/lora_model.py:from_lora_tensors, 0.33; sglang/srt/lora/lora.py, 0.5.23).
    """
    lora = question.extras.lora
    if lora is None:
        return 0
    return parallelism.gpus * lora.loaded * adapter_bytes(question, serving, lora)


def lora_terms(
    question: Question, parallelism: Parallelism, serving: Serving, first: int, last: int
) -> tuple[MemoryTerm, ...]:
    """The slots as a part of the weights: they are made while the model is loaded."""
    lora, size = question.extras.lora, lora_bytes(question, parallelism, serving, first, last)
    if lora is None:
        return ()
    by = split_of(question, parallelism)
    width = slot_width(question.shape, lora.rules, by, first, last)
    base = (
        f" ({lora.rules.base_slots} of them for the model alone)" if lora.rules.base_slots else ""
    )
    added = " and added tokens" if lora.rules.ends and lora.rules.extra_vocab else ""
    return (
        MemoryTerm(
            field="weights_bytes.lora",
            amount=size,
            formula=f"{lora.slots} slots{base} x rank {lora.max_rank} x {count(width)} inputs and "
            f"outputs on this GPU x {_itemsize(question, serving)} B{added} = {count(size)} B",
            source=lora.rules.source,
        ),
    )


def _itemsize(question: Question, serving: Serving) -> int:
    stated = None if serving.dtype == "auto" else serving.dtype
    return loaded_itemsize(question.shape.dtype, stated)
