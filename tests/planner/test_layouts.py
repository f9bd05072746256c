"""Which layouts are legal, and in what words the others are refused."""

from dataclasses import replace

import pytest
from asking import LLAMA, MOE, QWEN, question
from memory_cases import serving as settings

from krm_fn.planner.layouts import conflicts, legal
from krm_fn.planner.plan import Parallelism
from krm_fn.planner.stages import weights_by_stage

H100 = "NVIDIA-H100-80GB-HBM3"


def tensors(found):
    return sorted({layout.tensor for layout in found if layout.pipeline == 1})


@pytest.mark.parametrize(
    ("model", "pool", "sizes"),
    [
        (QWEN, {}, [1, 2, 4, 8]),  # 32 heads, 8 KV heads
        (LLAMA, {}, [1, 2, 4, 8]),  # 64 heads, 8 KV heads
        ("Qwen/Qwen2.5-7B-Instruct", {}, [1, 2, 4]),  # 28 heads, 4 KV heads
        ("Qwen/Qwen2.5-0.5B-Instruct", {}, [1, 2]),  # 14 heads, 2 KV heads: 7 is no multiple
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", {}, [1, 2, 4, 8]),  # 2 KV heads are replicated
        ("openai/gpt-oss-20b", {}, [1, 2, 4, 8]),  # shards of mxfp4 are padded
        ("openai/gpt-oss-20b", {"gpusPerNode": 16}, [1, 2, 4, 8]),  # 8 KV heads are not copied
        ("nvidia/Nemotron-H-56B-Base-8K", {"gpusPerNode": 16}, [1, 2, 4, 8]),  # 8 Mamba-2 groups
        ("ibm-granite/granite-4.0-h-tiny", {"gpusPerNode": 8}, [1, 2, 4]),  # one group, 4 KV heads
        (QWEN, {"gpusPerNode": 4}, [1, 2, 4]),
        (QWEN, {"gpusPerNode": 8, "share": 2}, [1, 2]),
        (QWEN, {"gpusPerNode": 3}, [1, 2]),
        (QWEN, {"mig": {"profile": "3g.40gb"}}, [1]),
        (QWEN, {"shared": {"replicas": 2}}, [1]),
    ],
)
def test_tensor_sizes(model, pool, sizes):
    """Those that divide the heads of the model, inside a node and the share."""
    assert tensors(legal(question(model, pool=pool))) == sizes


VL = "Qwen/Qwen2.5-VL-3B-Instruct"
TEXT_ONLY = {"multimodal": {"textOnly": True}}


@pytest.mark.parametrize(
    ("model", "serving", "sizes"),
    [
        (VL, {}, [1, 2, 4]),
        (VL, TEXT_ONLY, [1, 2, 4, 8]),
        (VL, {"extraArgs": ["--mm-encoder-tp-mode=data"]}, [1, 2, 4, 8]),
        (VL, {"extraArgs": ["--mm-encoder-tp-mode", "data"]}, [1, 2, 4, 8]),
        (VL, {"extraArgs": ["--mm-encoder-tp-mode=weights"]}, [1, 2, 4]),
        ("Qwen/Qwen3-VL-8B-Instruct", {}, [1, 2, 4, 8]),
        ("rednote-hilab/dots.ocr", {}, [1, 2, 4]),
    ],
    ids=["cut", "left-out", "copied", "copied-in-two-words", "cut-by-name", "divides", "12-heads"],
)
def test_an_encoder_that_is_cut_divides(model, serving, sizes):
    """3420 / 8: vLLM stops at "3420 is not divisible by 8"."""
    found = question(model, serving=serving, variants={"vllm": {}})

    assert tensors(legal(found)) == sizes


@pytest.mark.parametrize(("engine", "flag"), [("vllm", "tp-mode=data"), ("sglang", "dp-encoder")])
def test_a_cut_encoder_is_refused_with_the_ways_out(engine, flag):
    (found,) = conflicts(question(VL, variants={engine: {}}), Parallelism(tensor=8))

    assert "must divide the feed-forward size 3420 of the encoder" in found
    assert "serving.multimodal.textOnly" in found
    assert flag in found


def test_a_copied_encoder_takes_its_memory_on_every_gpu():
    """668,684,288 parameters of 16 bits, of which a GPU of two has half."""
    copied = question(VL, serving={"extraArgs": ["--mm-encoder-tp-mode=data"]})
    two = Parallelism(tensor=2)
    cut, whole = (max(weights_by_stage(asked, two, settings())) for asked in (question(VL), copied))

    assert whole - cut == pytest.approx(copied.shape.encoder_parameters, rel=1e-3)


def test_quantisation_groups_stay_whole():
    """Qwen2.5-14B AWQ: 13824 / 8 = 1728 is no multiple of the group of 128."""
    (found,) = conflicts(question("Qwen/Qwen2.5-14B-Instruct-AWQ"), Parallelism(tensor=8))

    assert "feed-forward size 13824 over 8 GPUs is 1728, which is no multiple" in found


def test_experts_are_spread_where_a_shard_would_cut_their_blocks():
    """Experts of 768 in fp8 blocks of 128: 768 / 8 = 96 is no block, so they stay whole."""
    found = legal(question("Qwen/Qwen3-30B-A3B-FP8"))
    (eight,) = (x for x in found if (x.tensor, x.pipeline) == (8, 1))

    assert eight.expert == 8


def test_a_stated_size_is_the_only_one():
    """Nothing else is looked at."""
    found = legal(question(serving={"tensorParallelSize": 4, "pipelineParallelSize": 2}))

    assert found == (Parallelism(tensor=4, pipeline=2),)


def test_layouts_come_smallest_first():
    """The order in which they are tried."""
    sizes = [layout.gpus for layout in legal(question())]

    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (Parallelism(tensor=3), "tensor size 3 must divide the 32 attention heads"),
        (
            Parallelism(tensor=32),
            None,  # heads of its own; whether a node has 32 GPUs is not asked here
        ),
        (Parallelism(pipeline=40), "pipeline size 40 exceeds the 36 layers"),
        (Parallelism(expert=2), "the model has no experts to spread"),
        (
            Parallelism(tensor=2, attention_data=2),
            "vllm has no data-parallel attention inside a tensor-parallel group",
        ),
    ],
)
def test_conflicts_of_a_dense_model(layout, words):
    """One line that names the size and the limit, or none."""
    found = conflicts(question(), layout)

    assert found[:1] == ((words,) if words else ())


@pytest.mark.parametrize(
    ("variant", "layout", "words"),
    [
        ("vllm", Parallelism(tensor=4, expert=4), None),
        ("vllm", Parallelism(tensor=2, data=2, expert=4), None),
        ("vllm", Parallelism(tensor=4, expert=2), "must be 1 or the 4 GPUs"),
        ("sglang", Parallelism(tensor=4, expert=2), None),
        ("sglang", Parallelism(tensor=4, expert=3), "must divide the tensor size 4"),
        ("sglang", Parallelism(tensor=2, data=2, expert=4), "must divide the tensor size 2"),
        ("sglang", Parallelism(tensor=4, attention_data=4), None),
        ("sglang", Parallelism(tensor=2, attention_data=4), "must divide the tensor size"),
    ],
)
def test_conflicts_of_experts_and_of_data_parallel_attention(variant, layout, words):
    """Over all GPUs of a replica in vLLM, over equal parts of the tensor size in SGLang."""
    found = conflicts(question(MOE, variants={variant: {}}), layout)

    assert words in found[0] if words else found == ()


def test_an_old_engine_without_pipelines_gets_none():
    """A rule of the engine version, not of the model."""
    asked = question(LLAMA)
    without = replace(asked, engine=replace(asked.engine, pipeline_parallel=False))

    assert {layout.pipeline for layout in legal(without)} == {1}
    assert any("no pipeline parallelism" in x for x in conflicts(without, Parallelism(pipeline=2)))
