"""How layers and weights are dealt out over the stages of a pipeline."""

from krm_fn.planner.limits import rotary_factor
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.planner.weights import split_of, stage_sizes, weights_bytes


def stages(layers: int, pipeline: int) -> tuple[tuple[int, int], ...]:
    """[first, last) of each stage, in order."""
    sizes = stage_sizes(layers, pipeline)
    ends = [sum(sizes[: index + 1]) for index in range(pipeline)]
    return tuple((end - size, end) for end, size in zip(ends, sizes, strict=True))


def weights_by_stage(
    question: Question, parallelism: Parallelism, serving: Serving
) -> tuple[int, ...]:
    """Bytes of weights on one GPU of each stage, as "Model loading took" means it."""
    return weights_bytes(
        question.shape,
        parallelism,
        total_bytes=question.checkpoint_bytes,
        quantization=serving.quantization,
        dtype=None if serving.dtype == "auto" else serving.dtype,
        by=split_of(question, parallelism),
        rotary=rotary_factor(question.engine, question.shape.architecture),
    )
