"""What `explain` prints can be checked by hand: each line's figures come to its amount."""

import re

import pytest
from memory_cases import DEEPSEEK_R1, GEMMA_3_12B, GPT_OSS_20B, QWEN3_30B, QWEN35_27B, question

from krm_fn.catalog import models
from krm_fn.planner import memory
from krm_fn.planner.memory_terms import memory_terms
from krm_fn.planner.plan import Parallelism, Serving

ENGINES = (("vllm", "0.19.0"), ("vllm", "0.33.0"), ("sglang", "0.5.23"))
LAYOUTS = (Parallelism(), Parallelism(tensor=2), Parallelism(tensor=16), Parallelism(pipeline=2))
CONFIGS = (DEEPSEEK_R1, GEMMA_3_12B, GPT_OSS_20B, QWEN3_30B, QWEN35_27B)
SERVING = Serving(
    max_model_len=8192, max_num_seqs=256, max_num_batched_tokens=8192, memory_fraction=0.9
)


def terms(config, engine, version, layout):
    asked = question(config, engine, version)
    return memory.memory_budget(asked, layout, SERVING), memory_terms(asked, layout, SERVING)


def worked_out(text):
    """`1,024 x 2 B + 3 B of scales` -> 2051."""
    parts = re.sub(r"B(?: of [a-z0-9 -]+)?", "", text.replace(",", "")).split("+")
    return sum(_product(part) for part in parts)


def _product(text):
    result = 1.0
    for factor in text.split("x"):
        result *= float(factor)
    return result


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(("engine", "version"), ENGINES)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c["architectures"][0])
def test_the_classes_of_weights_come_to_the_weights(config, engine, version, layout):
    found, lines = terms(config, engine, version, layout)
    parts = [line for line in lines if line.field.startswith("weights_bytes.")]

    assert sum(line.amount for line in parts) == found.weights_bytes


@pytest.mark.parametrize("model_id", models.model_ids()[::9])
def test_the_classes_come_to_the_weights_over_the_catalogue(model_id):
    config = models.model_card(model_id).config
    found, lines = terms(config, "vllm", "0.33.0", Parallelism(tensor=2))
    parts = [line for line in lines if line.field.startswith("weights_bytes.")]

    assert sum(line.amount for line in parts) == found.weights_bytes


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c["architectures"][0])
def test_a_class_is_parameters_times_bytes(config, layout):
    """The sum that a line of weights prints is its amount."""
    _, lines = terms(config, "vllm", "0.33.0", layout)
    for line in lines:
        if line.field.startswith("weights_bytes.") and ": " in line.formula:
            figures = line.formula.split(": ", 1)[1].rpartition(" = ")[0]
            assert worked_out(figures) == pytest.approx(line.amount, abs=8), line


SHAPE = re.compile(r"(?:(\d+) )?[A-Za-z][\w.]* (\d+)(?: x (\d+))?$")


GROUP = re.compile(r"(\d+) x \(([^)]*)\)")


def parameters(text):
    """`2 x (q_proj 16 x 32 + norm 16) + gate 4 x 8` -> 1088."""
    groups = [(int(times), inside) for times, inside in GROUP.findall(text)]
    groups.append((1, GROUP.sub("", text)))
    return sum(times * sum(map(_tensor, inside.split(" + "))) for times, inside in groups)


def _tensor(text):
    found = SHAPE.search(text.strip())
    count, rows, columns = (int(figure or 1) for figure in found.groups()) if found else (0, 0, 0)
    return count * rows * columns


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c["architectures"][0])
def test_a_class_is_its_tensors(config):
    """The shapes that a line prints multiply to its parameters."""
    _, lines = terms(config, "vllm", "0.33.0", Parallelism(tensor=2))
    for line in lines:
        if " parameters, of which" in line.formula:
            shapes, _, rest = line.formula.replace(",", "").partition(" = ")
            assert parameters(shapes) == int(rest.split()[0]), line


@pytest.mark.parametrize(("engine", "version"), ENGINES)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c["architectures"][0])
def test_the_subtraction_of_the_cache_is_right(config, engine, version):
    found, lines = terms(config, engine, version, Parallelism(tensor=2))
    line = next(line for line in lines if line.field == "kv_cache_bytes")
    first, *others = (int(x.replace(",", "")) for x in line.formula.split(" = ")[0].split(" - "))
    left = int(line.formula.split(" = ")[1].split(" B")[0].replace(",", ""))

    assert (first, first - sum(others)) == (found.budget_bytes, left)
    assert line.amount == found.kv_cache_bytes


@pytest.mark.parametrize(("engine", "version"), ENGINES)
def test_terms_are_named_as_in_the_plan(engine, version):
    """Except what has no key there: memory before the engine's baseline."""
    found, lines = terms(QWEN35_27B, engine, version, Parallelism(tensor=2))
    names = {line.field for line in lines if "." not in line.field}

    assert names - set(found.__slots__) == {"context_bytes"}
    for line in lines:
        if line.field in found.__slots__:
            assert line.amount == pytest.approx(getattr(found, line.field), abs=0.01), line
