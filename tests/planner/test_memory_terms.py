"""What `explain` prints can be checked by hand: each line's figures come to its amount."""

import math
import re

import pytest
from memory_cases import DEEPSEEK_R1, GEMMA_3_12B, GPT_OSS_20B, QWEN3_30B, QWEN35_27B, question

from krm_fn.catalog import models
from krm_fn.planner import memory, serving
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


def calculated(text):
    """The arithmetic of a formula, without its words: `2 layers x 3 B` -> 6."""
    plain = text.replace(",", "").replace(" x ", " * ").replace("^2", " ** 2")
    kept = re.sub(r"[^0-9.+*/() -]|(?<=[a-z])-(?=[a-z])", "", plain)
    return eval(kept)


def worked_out(text):
    """`1,024 x 2 B + 3 B of scales` -> 2051."""
    parts = re.sub(r"B(?: of [a-zA-Z0-9_ ()-]+)?", "", text.replace(",", "")).split("+")
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


HYBRIDS = ("Qwen/Qwen3-Next-80B-A3B-Instruct", "ibm-granite/granite-4.0-h-small",
           "nvidia/NVIDIA-Nemotron-Nano-9B-v2")  # fmt: skip


@pytest.fixture(params=HYBRIDS)
def hybrid(request):
    """Field -> line of a hybrid on one or four GPUs of the newest vLLM."""
    config = models.model_card(request.param).config
    _, lines = terms(config, "vllm", "0.33.0", Parallelism(tensor=4))
    return {line.field: line for line in lines}


def test_a_state_is_its_channels_and_heads(hybrid):
    line = hybrid["kv_cache_bytes_per_request.state"]
    layers, inside = re.match(r"(\d+) layers x \((.*) = [\d,]+ B\)", line.formula).groups()

    assert int(layers) * calculated(inside) == line.amount


def test_a_block_is_the_pages_of_the_widest_group(hybrid):
    line = hybrid["kv_cache_blocks.size"]
    pages, rest = line.formula.split(" a page = ")
    tokens, each, state = re.search(
        r"a page of ([\d,]+) tokens x ([\d,]+) B .* holds a state of ([\d,]+) B", rest
    ).groups()

    assert calculated(pages) == line.amount
    assert calculated(tokens) * calculated(each) >= calculated(state)
    assert (calculated(tokens) - 16) * calculated(each) < calculated(state)


def test_blocks_are_the_cache_over_a_block(hybrid):
    left, width = re.match(r"([\d,]+) B / ([\d,]+) B", hybrid["kv_cache_blocks"].formula).groups()

    assert calculated(left) == hybrid["kv_cache_bytes"].amount
    assert calculated(width) == hybrid["kv_cache_blocks.size"].amount
    assert calculated(left) // calculated(width) == hybrid["kv_cache_blocks"].amount


def test_blocks_of_a_request_are_those_of_its_groups(hybrid):
    line = hybrid["max_concurrency"]
    total, need, groups = re.match(
        r"([\d,]+) blocks / ([\d,]+) that .* by group of layers (.*)", line.formula
    ).groups()
    parts = re.findall(r"(?:(\d+) x \()?([\d,]+) = (.*?) \(\d+ (\w+)\)", groups)

    assert sum(int(times or 1) * calculated(number) for times, number, _, _ in parts) == (
        calculated(need)
    )
    assert all(calculated(number) == math.ceil(calculated(made)) for _, number, made, _ in parts)
    assert round(calculated(total) / calculated(need), 2) == line.amount


def test_the_uncertainty_is_the_root_of_squares(hybrid):
    """With how many logs stand behind each of them."""
    line = hybrid["uncertainty_bytes"]
    squares = re.findall(r"([\d,]+)\^2 of [a-zA-Z ]+ \((\d+) logs\)", line.formula)

    assert len(squares) == 4
    assert math.hypot(*(calculated(size) for size, _ in squares)) == pytest.approx(
        line.amount, abs=4
    )


def test_the_margin_is_the_least_of_what_is_left(hybrid):
    line = hybrid["margin_bytes"]
    clauses = line.formula.removeprefix("the least of ").split("; ")
    left = [calculated(clause.rpartition(" = ")[0]) for clause in clauses]

    assert len(left) == 3
    assert min(left) == line.amount


def test_expert_buffers_are_in_figures():
    _, lines = terms(QWEN3_30B, "vllm", "0.19.0", Parallelism(tensor=2))
    line = next(line for line in lines if line.field == "activation_bytes")
    size, made = re.search(r"([\d,]+) B of expert buffers \((.*?B)\)", line.formula).groups()

    assert calculated(made) == calculated(size)


def test_copied_heads_are_named():
    """Qwen3-30B has 4 KV heads: over 16 GPUs each has one of them."""
    _, lines = terms(QWEN3_30B, "vllm", "0.33.0", Parallelism(tensor=16))
    line = next(line for line in lines if line.field == "weights_bytes.attention")

    assert "1/16 of q_proj, o_proj and 1/4 of k_proj, v_proj" in line.formula


def test_a_pool_of_tokens_is_what_states_leave():
    """SGLang: slots of states first, tokens of what is left."""
    _, lines = terms(models.model_card(HYBRIDS[-1]).config, "sglang", "0.5.23", Parallelism())
    found = {line.field: line for line in lines}
    line = found["kv_cache_tokens"]
    left, slots, size, width = re.match(
        r"\(([\d,]+) B - ([\d,]+) state slots, .* x ([\d,]+) B\) / ([\d,]+) B", line.formula
    ).groups()
    rest = calculated(left) - calculated(slots) * calculated(size)

    assert rest // calculated(width) == line.amount
    assert (calculated(slots) - 1) == calculated(left) * 0.9 / 1.9 // calculated(size) - 1
    assert "state slots / 3 a request" in found["max_concurrency"].formula


@pytest.mark.parametrize("version", ["0.4.9", "0.5.5", "0.5.23"])
def test_the_fraction_of_an_engine_is_in_figures(version):
    """SGLang: what it keeps free, and the share that is left."""
    asked = question(QWEN3_30B, "sglang", version)
    layout = Parallelism(tensor=2)
    found = serving.fitted(asked, layout).serving
    line = memory_terms(asked, layout, found)[0].formula
    total, kept, parts = re.search(
        r"\(\(([\d,]+) - ([\d,.]+)\) .*kept free: (.*) \(", line
    ).groups()
    least = calculated(parts.partition(" for CUDA")[0].partition(", at least")[0])

    assert least == pytest.approx(calculated(kept), rel=1e-4)
    assert round(1 - calculated(kept) / calculated(total), 3) == found.memory_fraction


def test_a_pool_of_tokens_keeps_what_one_request_leaves():
    _, lines = terms(QWEN3_30B, "sglang", "0.5.23", Parallelism(tensor=2))
    line = next(line for line in lines if line.field == "margin_bytes")
    held, tokens, size, left = re.search(
        r"\(([\d.]+) requests - 1\) x ([\d,]+) tokens x ([\d,]+) B = ([\d.]+) GiB", line.formula
    ).groups()
    spare = (float(held) - 1) * calculated(tokens) * calculated(size)

    assert round(spare / 2**30, 1) == float(left)


def test_copies_of_quantised_latents_are_in_figures():
    """DeepSeek-V3 on 8 GPUs: 16 heads of 256 x 512 values, 2 bytes each, in each layer."""
    config = models.model_card("deepseek-ai/DeepSeek-V3").config
    _, lines = terms(config, "vllm", "0.33.0", Parallelism(tensor=8))
    line = next(line for line in lines if line.field == "weights_bytes.mla")

    assert f"61 x {16 * 256 * 512 * 2:,} B of 16-bit copies of kv_b_proj" in line.formula
    assert "B of scales (4 B per 128 x 128)" in line.formula


def test_models_without_rotary_positions_have_no_table():
    config = models.model_card("ai21labs/AI21-Jamba-Mini-1.6").config
    _, lines = terms(config, "vllm", "0.33.0", Parallelism(tensor=2))

    assert "weights_bytes.rotary" not in {line.field for line in lines}


def test_a_block_has_the_pages_of_all_caches_of_a_layer():
    """DeepSeek-V3.2: latents and the keys of the indexer have pages of their own sizes."""
    config = models.model_card("deepseek-ai/DeepSeek-V3.2").config
    _, lines = terms(config, "vllm", "0.33.0", Parallelism(tensor=8))
    line = next(line for line in lines if line.field == "kv_cache_blocks.size")

    assert calculated(line.formula.partition(" a page")[0]) == line.amount


def test_tiles_of_a_kernel_are_told_apart_from_segments():
    _, lines = terms(GPT_OSS_20B, "vllm", "0.33.0", Parallelism(tensor=2))
    line = next(line for line in lines if line.field == "weights_bytes.experts")

    assert "B of whole tiles of the kernel of the experts" in line.formula
