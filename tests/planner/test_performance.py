"""The roofline against hand-computed numbers, the estimate against measured ones and its laws."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speed_cases import (
    DATASHEETS,
    FP8,
    LLAMA_2_7B,
    LLAMA_3_8B,
    LLAMA_70B_FP8,
    QWEN3_30B_A3B,
    TP,
    attention,
    gpu,
    limits,
    memory,
    question,
    serving,
    shape,
)

from krm_fn.catalog.gpus import gpu_names
from krm_fn.catalog.rows import Flops
from krm_fn.catalog.shape import Dense, Layer, Quantization
from krm_fn.planner.performance import estimate
from krm_fn.planner.plan import Parallelism
from krm_fn.planner.roofline import packed_rate, plain_rate, rates, weights_read_bytes
from krm_fn.planner.speed import itl_floor_seconds, itl_seconds, speed
from krm_fn.planner.speed_constants import CONSTANTS, speed_constants
from krm_fn.planner.work import work

MODELS = (LLAMA_2_7B, LLAMA_3_8B, LLAMA_70B_FP8, QWEN3_30B_A3B)


def ask(q, layout=TP[1], users=None, seats=1024, requests=40.0):
    return estimate(q, layout, serving(seats), memory(requests), users)


def work_of(model, layout=TP[1]):
    return work(question(model), layout, serving())


@pytest.mark.parametrize(
    ("card", "bound"),
    [
        ("L4", 22),
        ("T4", 24),
        ("A10", 45),
        ("L40S", 64),
        ("3090", 69),
        ("4090", 75),
        ("A100-80", 151),
        ("H100", 249),
        ("H200", 356),
    ],
)
def test_one_stream_of_a_7b_model_stays_below_bandwidth_over_its_13_48_gb(card, bound):
    """Tokens/s = GB/s / 13.48 GB for 6.74 B parameters in 16 bit, the embedding counted in."""
    q = question(LLAMA_2_7B, card, input_tokens=1, output_tokens=1)
    assert 1 / ask(q, users=1).itl_seconds < bound
    s = speed(q, TP[1], serving(), memory())
    assert 1 / itl_floor_seconds(s, 1) == pytest.approx(bound, rel=0.04)  # embedding not read


def test_bytes_and_operations_of_llama_2_7b():
    """32 (4 x 4096^2 + 3 x 4096 x 11008) + 32000 x 4096 parameters; KV 2 x 32 x 4096 x 2 B."""
    w = work_of(LLAMA_2_7B)
    layers = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    norms = 32 * 2 * 4096
    assert layers == 6_476_005_376
    assert w.weights.plain_parameters == layers + norms
    assert w.head_bytes == 2 * 32000 * 4096
    assert weights_read_bytes(w, TP[1], 1) == 2 * (layers + norms) + w.head_bytes
    assert w.kept_bytes(1) == 524_288
    assert work_of(LLAMA_2_7B, TP[4]).kept_bytes(1000) == 524_288_000 / 4
    assert w.prefill_operations(1000, 0) == 2 * 32 * 4096 * 1000**2
    assert w.decode_operations(1000) == 32 * 4 * 4096 * 1000


def test_experts_that_a_batch_reads():
    """E = 128, k = 8: 8/128 alone, 1 - 0.9375^44.8 = 94.4 % at 64."""
    w = work_of(QWEN3_30B_A3B)
    assert w.coverage(1) == 0.0625
    assert w.coverage(64) == pytest.approx(0.9445, abs=1e-4)
    assert w.weights.expert_bytes == 48 * 128 * 3 * 2048 * 768 * 2
    lone, spread = TP[4], Parallelism(tensor=1, data=4, expert=4)
    alone, together = (weights_read_bytes(w, layout, 16) for layout in (lone, spread))
    assert together - alone == pytest.approx(
        0.75 * (w.weights.attention_bytes + w.weights.dense_bytes + w.head_bytes)
        + w.weights.expert_bytes / 4 * (w.coverage(64) - w.coverage(16))
    )


@pytest.mark.parametrize(
    ("quantization", "card", "tera"),
    [
        (None, "H100", 989),
        (FP8, "H100", 1979),
        (FP8, "A100-80", 312),
        (FP8, "T4", 65),
        (Quantization(method="modelopt", bits=4, group_size=16), "B200", 9000),
        (Quantization(method="modelopt", bits=4, group_size=16), "H100", 989),
        (Quantization(method="mxfp4", bits=4, group_size=32), "B200", 4500),
        (Quantization(method="mxfp4", bits=4, group_size=32), "H100", 989),
        (Quantization(method="awq", bits=4, group_size=128), "B200", 2250),
    ],
)
def test_peak_rate_follows_the_weights_and_the_gpu(quantization, card, tera):
    assert packed_rate(gpu(card).flops, quantization, "bfloat16") == tera * 1e12


def test_16_bit_peak_without_bf16_units():
    assert plain_rate(Flops(fp16=65), "bfloat16") == 65e12


# vLLM rows of perf-measured.csv: AccelMark on L4 and A800 (an A100 of less NVLink), InferenceX on
# H200. Card, model, TP, engine version, input, output, users, itl ms, ttft ms (0: on the L4 it is
# twice the model, the card throttles).
MEASURED = [
    ("L4", LLAMA_3_8B, 1, "0.7.3", 236, 345, 1, 61.2, 0),
    ("A100-80", LLAMA_3_8B, 1, "0.7.3", 236, 345, 1, 12.43, 37.8),
    ("H200", LLAMA_70B_FP8, 1, "0.19.0", 922, 922, 16, 24.72, 315.8),
    ("H200", LLAMA_70B_FP8, 2, "0.19.0", 922, 922, 8, 14.36, 154.1),
    ("H200", LLAMA_70B_FP8, 4, "0.19.0", 922, 922, 16, 10.94, 126.2),
    ("H200", LLAMA_70B_FP8, 4, "0.19.0", 7373, 922, 16, 17.44, 775.2),
    ("H200", LLAMA_70B_FP8, 8, "0.19.0", 922, 922, 64, 12.73, 194.9),
    ("H200", LLAMA_70B_FP8, 8, "0.19.0", 7373, 922, 8, 10.08, 394.9),
]


@pytest.mark.parametrize(
    ("card", "model", "tensor", "version", "inputs", "outputs", "users", "itl", "ttft"), MEASURED
)
def test_measured_latencies_are_within_the_interval(
    card, model, tensor, version, inputs, outputs, users, itl, ttft
):
    q = question(model, card, input_tokens=inputs, output_tokens=outputs)
    q = replace(q, engine=limits("vllm", version))
    found = ask(q, TP[tensor], users)
    low, high = found.itl_interval
    assert low * found.itl_seconds <= itl / 1e3 <= high * found.itl_seconds
    low, high = found.ttft_interval
    assert not ttft or low * found.ttft_seconds <= ttft / 1e3 <= high * found.ttft_seconds


def test_users_beyond_the_kv_cache_wait_and_the_rate_stays():
    """10 requests of 8192 tokens = 81920 tokens = 106 requests of 512 + 512/2."""
    q = question(LLAMA_3_8B, input_tokens=512, output_tokens=512)
    full, over = (ask(q, users=n, requests=10) for n in (106, 206))
    assert full.bound == "memory"
    assert over.bound == "kv"
    assert over.requests_per_second_per_replica == full.requests_per_second_per_replica
    waiting = 100 / full.requests_per_second_per_replica
    assert over.ttft_seconds == pytest.approx(full.ttft_seconds + waiting)
    assert ask(q, users=206, seats=64).bound == "queue"


def test_littles_law_holds_with_and_without_a_queue():
    q = question(LLAMA_70B_FP8, input_tokens=1000, output_tokens=200)
    for users in (1, 30, 400):
        e = ask(q, TP[4], users, requests=10)
        latency = e.ttft_seconds + e.itl_seconds * 199
        assert e.requests_per_second_per_replica * latency == pytest.approx(users)
        per_gpu = e.requests_per_second_per_replica * 200 / 4
        assert e.output_tokens_per_second_per_gpu == pytest.approx(per_gpu)


def test_a_cached_prefix_is_not_computed_again():
    cold, warm = (
        ask(question(input_tokens=4000, prefix_hit_rate=rate), users=8) for rate in (0, 0.9)
    )
    assert warm.ttft_seconds < cold.ttft_seconds / 3
    assert warm.itl_seconds < cold.itl_seconds


def test_default_concurrency_is_what_the_workload_asks_for():
    assert ask(question(concurrency=40)).concurrency == 40
    q = question(concurrency=40)
    assert ask(replace(q, stated=replace(q.stated, replicas=3))).concurrency == 14
    assert ask(question(), seats=64).concurrency == 64
    rate = ask(question(requests_per_second=2.0))
    assert rate.requests_per_second_per_replica >= 2
    fewer = ask(question(), users=rate.concurrency - 1)
    assert fewer.requests_per_second_per_replica < 2
    assert ask(question(requests_per_second=1e6), seats=8).bound == "queue"


def test_links():
    """Two cards on a bridge are as fast as NVLink, four are not, PCIe is slowest."""

    def itl(tensor, link):
        return ask(question(LLAMA_70B_FP8, "A100-80", interconnect=link), TP[tensor], 8).itl_seconds

    assert itl(2, "pairs") == itl(2, "nvlink") < itl(2, "pcie")
    assert itl(4, "nvlink") < itl(4, "pairs") == itl(4, "pcie")
    assert itl(1, "nvlink") == itl(1, "pcie")


def test_embedding_models_only_read_prompts():
    model = replace(LLAMA_3_8B, task="embed")
    one, many = (ask(question(model, input_tokens=512), users=n) for n in (1, 64))
    assert one.itl_seconds == 0
    assert one.output_tokens_per_second_per_gpu == 0
    assert many.bound == "compute"
    assert many.requests_per_second_per_replica > one.requests_per_second_per_replica
    flops = 2 * 32 * (2.5 * 4096**2 + 3 * 4096 * 14336) * 512
    assert many.requests_per_second_per_replica < 989e12 / flops


def test_intervals_are_wider_where_fewer_rows_stand_behind():
    usual = ask(question(), users=1)
    assert usual.itl_interval == (0.75, 1.25)
    assert usual.ttft_interval == (0.6, 1.6)
    awq = replace(LLAMA_3_8B, quantization=Quantization(method="awq", bits=4, group_size=128))
    for q, layout in (
        (question(awq), TP[1]),
        (question(QWEN3_30B_A3B), Parallelism(tensor=2, expert=2)),
        (question(engine="another"), TP[1]),
        (question(card="L40S"), TP[1]),
        (question(), Parallelism(pipeline=2)),
    ):
        wide = ask(q, layout, 1)
        assert wide.itl_interval[0] < 0.75
        assert wide.itl_interval[1] > 1.25


def test_provenance_says_where_the_figures_come_from():
    assert "708 measured rows of vllm" in ask(question(), users=1).provenance
    assert "no rows of another" in ask(question(engine="another"), users=1).provenance
    assert "not validated" in ask(question(), Parallelism(pipeline=2), 1).provenance


@pytest.mark.parametrize("name", ["AMD_Instinct_MI300X_OAM", "NVIDIA-GH200-480GB", "L40S"])
def test_a_gpu_without_rows_is_not_called_calibrated(name):
    """Whatever the constants are worth elsewhere, nobody measured this one."""
    asked = question()
    board = asked.pool.gpu.model_copy(update={"name": name})
    asked = replace(asked, pool=replace(asked.pool, gpu=board))
    told = ask(asked, users=1).provenance

    assert told.startswith(f"estimated, not calibrated: no measured rows of vllm on {name}")


def test_a_part_of_a_gpu_is_not_called_calibrated():
    asked = question()
    asked = replace(asked, pool=replace(asked.pool, sliced=True))

    assert "on a part of NVIDIA-H100" in ask(asked, users=1).provenance


def test_measured_boards_are_catalogued():
    """A label with a typing error would be measured for nobody."""
    assert {board for row in CONSTANTS for board in row.boards} <= set(gpu_names())


def test_constants_of_an_engine_version():
    assert speed_constants("vllm", "0.7.3")[0].step > 0
    assert speed_constants("vllm", "0.19.1rc1.dev3")[0].step == 0
    assert speed_constants("vllm", "nightly")[0].step == 0
    assert speed_constants("sglang", "0.5.9") == (CONSTANTS[-1], True)
    assert speed_constants("another", "1.0") == (CONSTANTS[1], False)


def test_an_estimate_takes_far_less_than_a_millisecond():
    q = question(LLAMA_70B_FP8)
    best = min(_seconds_of(100, q) for _ in range(5))
    assert best / 100 < 1e-3


def _seconds_of(times, q):
    start = time.perf_counter()
    for _ in range(times):
        ask(q, TP[4], 32)
    return time.perf_counter() - start


CARDS = st.sampled_from(sorted(DATASHEETS))
USERS = st.integers(1, 600)
TOKENS = st.integers(1, 20_000)
LAYOUTS = st.sampled_from(
    [
        *TP.values(),
        Parallelism(tensor=2, pipeline=2),
        Parallelism(data=4, expert=4),
        Parallelism(tensor=4, attention_data=4, expert=4),
    ]
)


@given(st.sampled_from(MODELS), CARDS, LAYOUTS, USERS, TOKENS, st.integers(1, 4000))
def test_no_estimate_beats_the_roofline(model, card, layout, users, inputs, outputs):
    q = question(model, card, input_tokens=inputs, output_tokens=outputs)
    e = ask(q, layout, users)
    w, rate = work_of(model, layout), rates(q, layout, serving())
    gpus = layout.tensor * layout.pipeline
    used = w.weights
    assert e.itl_seconds >= e.itl_floor_seconds > 0
    least = weights_read_bytes(w, replace(layout, pipeline=1), 1) / rate.memory
    assert e.itl_seconds >= least
    operations = (
        2 * inputs * (used.packed_parameters / rate.packed + used.plain_parameters / rate.plain)
    )
    assert e.ttft_seconds >= operations / gpus


@given(st.sampled_from(MODELS), LAYOUTS, USERS, TOKENS, st.integers(200, 8000))
def test_more_bandwidth_is_never_slower(model, layout, users, inputs, bandwidth):
    slow, fast = (
        ask(question(model, gpu("H100", gbs), input_tokens=inputs), layout, users)
        for gbs in (bandwidth, bandwidth * 2)
    )
    assert fast.itl_seconds <= slow.itl_seconds
    assert fast.ttft_seconds <= slow.ttft_seconds
    assert fast.requests_per_second_per_replica >= slow.requests_per_second_per_replica


@given(st.sampled_from(MODELS), LAYOUTS, USERS, TOKENS, st.integers(1, 4000))
def test_more_users_never_lower_the_throughput(model, layout, users, inputs, outputs):
    q = question(model, input_tokens=inputs, output_tokens=outputs)
    s = speed(q, layout, serving(1024), memory())
    less, more = (ask(q, layout, n) for n in (users, users + 1))
    rate = less.requests_per_second_per_replica
    assert more.requests_per_second_per_replica >= rate * (1 - 1e-9)
    assert more.ttft_seconds >= less.ttft_seconds
    assert itl_seconds(s, users + 1) >= itl_seconds(s, users)


@given(st.sampled_from(MODELS), LAYOUTS, USERS, TOKENS, st.integers(1, 5000))
def test_ttft_grows_with_the_input(model, layout, users, inputs, more):
    short, long = (
        ask(question(model, input_tokens=n), layout, users, requests=1e6)
        for n in (inputs, inputs + more)
    )
    assert long.ttft_seconds >= short.ttft_seconds


def test_windows_and_layers_that_share_nothing():
    layer = Layer(mixer=attention(window=1024), ffn=Dense(intermediate_size=11008))
    w = work_of(shape(layer, 32, 4096, 32000))
    assert w.kept_bytes(5000) == w.kept_bytes(1024) == 1024 * 524_288
    assert w.prefill_operations(2048, 0) == 4 * 4096 * 32 * (1024 * 2048 - 1024**2 / 2)
