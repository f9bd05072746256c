"""What the planner says to a case of the oracle: blocks, concurrency, bytes of weights."""

from bisect import bisect_right
from dataclasses import dataclass, replace

from oracle.engine import VERSION

from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.gpus import gpu
from krm_fn.engines import vllm_memory
from krm_fn.planner.kv_cache import cache_specs
from krm_fn.planner.limits import expert_width, rotary_factor
from krm_fn.planner.memory_pool import block_layout, held
from krm_fn.planner.plan import Parallelism, PoolShape, Question, Serving, Stated, Workload
from krm_fn.planner.storage import loaded_itemsize
from krm_fn.planner.stored import layout, stored_layers
from krm_fn.planner.tensors import layer_tensors
from krm_fn.planner.weights import parameters, part_bytes, rope_bytes, split

NOT_THE_CHECKPOINT = (
    "BAAI/",
    "intfloat/",
    "sentence-transformers/",
    "mixedbread-ai/",
    "Snowflake/",
    "stepfun-ai/Step-3.7-Flash",
)
"""Models whose class in transformers has a head that the checkpoint lacks, or a default encoder."""
BOARDS = {"10.0": "NVIDIA-B200", "9.0": "h100", "8.0": "NVIDIA-A100-SXM4-80GB"}


@dataclass(frozen=True, kw_only=True)
class Planned:
    """`fits` = one request of the whole context; `longest` = of what length one would."""

    fits: bool
    longest: int
    num_blocks: int
    block_size: int
    bytes_per_block: int
    max_concurrency: float


def question(case):
    limits = vllm_memory.limits(VERSION)
    if not case["prefix_caching"]:
        limits = replace(limits, cache=replace(limits.cache, state_mode="none"))
    board = gpu(BOARDS[case["capability"]])
    return Question(
        service="oracle",
        variant="vllm",
        model_id="oracle",
        shape=model_shape(case["config"]),
        pool=PoolShape(
            gpu=board,
            gpu_memory_bytes=board.memory_bytes,
            gpus_per_node=8,
            nodes=1,
            share=8,
            interconnect="nvlink",
        ),
        workload=Workload(),
        stated=Stated(),
        engine=limits,
    )


def serving(case):
    return Serving(
        max_model_len=case["max_model_len"],
        max_num_seqs=256,
        max_num_batched_tokens=case["max_num_batched_tokens"],
        memory_fraction=0.9,
        kv_cache_dtype=case["kv_cache_dtype"],
        dtype=case["dtype"],
    )


def planned(case):
    """The cache of a case by our planning, with the bytes for it given."""
    asked, settings, gpus = question(case), serving(case), Parallelism(tensor=case["tp"])
    page = case["stated_block_size"] or held(asked, gpus, settings).page
    specs = cache_specs(asked.shape, gpus, settings, asked.engine)
    blocks = block_layout(asked, gpus, settings, specs, page)
    width = blocks.block_bytes(0, len(asked.shape.layers))
    count = case["available"] // width
    usable = count - asked.engine.cache.null_block
    return Planned(
        fits=usable >= blocks.request_blocks(case["max_model_len"]),
        longest=longest(blocks, usable, case["max_model_len"]),
        num_blocks=count,
        block_size=blocks.block_size,
        bytes_per_block=width,
        max_concurrency=round(count / blocks.request_blocks(case["max_model_len"]), 4),
    )


def rotary_bytes(case):
    """Bytes of the tables of cosines and sines."""
    shape = model_shape(case["config"])
    factor = rotary_factor(vllm_memory.limits(VERSION), shape.architecture)
    return factor * rope_bytes(shape, loaded_itemsize(shape.dtype, case["dtype"]))


def longest(blocks, usable, most):
    """The longest context of which one request takes at most `usable` blocks."""
    return bisect_right(range(1, most + 1), usable, key=blocks.request_blocks)


def parameter_bytes(case):
    """Bytes of the text model's parameters on the first GPU as its classes make them: without
    encoder, rotary tables, the allocator's rounding and what kernels add afterwards.
    """
    shape = replace(model_shape(case["config"]), encoder_parameters=0)
    kinds, order, first, last = stored_layers(shape, layout(shape, None))
    least = expert_width(vllm_memory.limits(VERSION), shape.architecture)
    gpus = split(Parallelism(tensor=case["tp"]), least_expert=least)
    by = replace(gpus, kernel=None)
    itemsize = loaded_itemsize(shape.dtype, case["dtype"])
    held = (first, *(kinds[kind] for kind in order), last)
    return sum(sum(part_bytes(pair, by, itemsize)) for pairs in held for pair in pairs)


def counted_otherwise(shape, total):
    """What is left between our count of parameters and transformers' own.

    Routing offsets are in the checkpoint; transformers keeps most of them as buffers.
    """
    tensors = (t for layer in shape.layers for t in layer_tensors(layer, shape.hidden_size))
    offsets = sum(t.parameters for t in tensors if t.name == "mlp.gate.bias" and t.itemsize == 4)
    mine = parameters(shape)
    return min(abs(mine - total), abs(mine - total - offsets))
