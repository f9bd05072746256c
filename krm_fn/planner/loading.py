"""What of a checkpoint an engine leaves out of the GPUs' memory."""

from dataclasses import replace

from krm_fn.planner.memory_term import MemoryTerm
from krm_fn.planner.plan import Question
from krm_fn.planner.weights import file_bytes
from krm_fn.units import gib


def loaded(question: Question) -> Question:
    """The question without the encoder, if only text is asked for.

    Its tensors are neither made nor read (vllm/model_executor/models/interfaces.py:
    SupportsMultiModal._mark_tower_model, 0.17-0.33; sglang/srt/configs/model_config.py, 0.5.18);
    the files are downloaded all the same.
    """
    shape = question.shape
    if not question.extras.text_only or not shape.encoder_parameters:
        return question
    text = replace(shape, encoder_parameters=0)
    left_out = file_bytes(shape) - file_bytes(text)
    known = question.checkpoint_bytes
    return replace(
        question,
        shape=text,
        checkpoint_bytes=known - left_out if known else None,
        unloaded_bytes=left_out,
    )


def encoder_term(question: Question) -> tuple[MemoryTerm, ...]:
    """The line that says what text only saves."""
    if not question.unloaded_bytes:
        return ()
    text = f"text only: {gib(question.unloaded_bytes)} of the encoder in the files are not loaded"
    return (MemoryTerm(field="weights_bytes.encoder", amount=0, formula=text),)
