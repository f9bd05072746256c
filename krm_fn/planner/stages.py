"""How layers and weights are dealt out over the stages of a pipeline."""

from krm_fn.planner.plan import Parallelism, Question, Serving


def stages(layers: int, pipeline: int) -> tuple[tuple[int, int], ...]:
    """[first, last) of each stage: equal shares, what is left over goes to the stages before the
    last, from the back (vllm/distributed/utils.py:get_pp_indices, 0.8-0.33).
    """
    sizes = [layers // pipeline] * pipeline
    for index in range(2, layers % pipeline + 2):
        sizes[-index] += 1
    ends = [sum(sizes[: index + 1]) for index in range(pipeline)]
    return tuple((end - size, end) for end, size in zip(ends, sizes, strict=True))


def weights_by_stage(
    question: Question, parallelism: Parallelism, serving: Serving
) -> tuple[int, ...]:
    """Bytes of weights on one GPU of each stage."""
    del serving
    shape, size = question.shape, 2
    body = question.checkpoint_bytes or 12 * shape.hidden_size**2 * len(shape.layers) * size
    return (body // (parallelism.tensor * parallelism.pipeline),) * parallelism.pipeline
