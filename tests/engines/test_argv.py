"""Faults of arguments and variables, each where it stands and with the way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krm_fn.engines.argv import argv_faults, env_faults
from krm_fn.engines.versions import known_versions

OWNED = {
    "--tensor-parallel-size": "spec.serving.tensorParallelSize",
    "--max-num-seqs": "spec.serving.maxNumSeqs",
    "--model-path": "spec.model.id",
    "--enforce-eager": "spec.serving.enforceEager",
}


def faults(engine, version, *args, owned=OWNED):
    return argv_faults(engine, version, args, "args", owned)


@pytest.mark.parametrize(
    ("engine", "version", "args"),
    [
        ("vllm", "0.33.0", ["--enable-lora", "--max-loras=4", "--max-lora-rank", "16"]),
        ("vllm", "0.33.0", ["--max_loras=4"]),
        ("vllm", "0.33.0", ["--seed", "-1"]),
        ("vllm", "0.33.0", ["-O3", "--compilation-config.mode=3"]),
        ("vllm", "0.33.0", ['--compilation-config={"mode": 3}']),
        ("vllm", "0.33.0", ["--hf-overrides.rope_theta=1"]),
        ("vllm", "0.33.0", ["--no-enable-prefix-caching"]),
        ("vllm", "0.33.0", ["--moe-backend=Triton", "--attention-backend", "flash_attn"]),
        ("vllm", "0.33.0", ["--lora-modules", "a=b", "c=d"]),
        ("vllm", "0.16.0", ["--swap-space=4"]),
        ("sglang", "0.5.23", ["--schedule-policy=lpm", "--page-size", "64"]),
        ("sglang", "0.5.9", ["--cuda-graph-max-bs=8"]),
    ],
)
def test_good(engine, version, args):
    assert faults(engine, version, *args) == ()


@pytest.mark.parametrize(
    ("engine", "version", "args", "severity", "index", "words"),
    [
        ("vllm", "0.33.0", ["--max-loras 4"], "error", 0, "two elements"),
        ("vllm", "0.33.0", ["--max-num-seqs=8"], "error", 0, "spec.serving.maxNumSeqs"),
        ("vllm", "0.33.0", ["-tp", "2"], "error", 0, "spec.serving.tensorParallelSize"),
        ("vllm", "0.33.0", ["--no-enforce-eager"], "error", 0, "spec.serving.enforceEager"),
        ("sglang", "0.5.23", ["--tp", "2"], "error", 0, "spec.serving.tensorParallelSize"),
        ("sglang", "0.5.23", ["--model=x"], "error", 0, "spec.model.id"),
        ("vllm", "0.33.0", ["--swap-space=4"], "error", 0, "instead: leave it out"),
        ("vllm", "0.20.0", ["--disable-log-requests"], "error", 0, "--no-enable-log-requests"),
        ("vllm", "0.33.0", ["--task", "embed"], "error", 0, "--runner and --convert"),
        ("sglang", "0.5.23", ["--cuda-graph-bs", "1"], "error", 0, "--cuda-graph-bs-decode"),
        ("sglang", "0.5.5", ["--enable-ep-moe"], "error", 0, "--ep-size"),
        ("vllm", "0.16.0", ["--shutdown-timeout=3"], "error", 0, "and newer"),
        ("vllm", "0.33.0", ["--seed=1", "--max-lora=4"], "error", 1, "did you mean"),
        ("vllm", "0.33.0", ["--mem-fraction-static=0.8"], "error", 0, "has no flag"),
        ("sglang", "0.5.23", ["--gpu-memory-utilization=0.8"], "error", 0, "has no flag"),
        ("sglang", "0.5.23", ["--page_size=64"], "error", 0, "did you mean `--page-size`"),
        ("vllm", "0.99.0", ["--from-the-future"], "warning", 0, "for certain"),
        ("vllm", "0.33.0", ["--enable-lora=true"], "error", 0, "takes no value"),
        ("vllm", "0.33.0", ["--enable-lora", "true"], "error", 1, "belongs to no flag"),
        ("vllm", "0.33.0", ["--max-loras"], "error", 0, "needs a value"),
        ("vllm", "0.33.0", ["--max-loras="], "error", 0, "must not be empty"),
        ("vllm", "0.33.0", [""], "error", 0, "must not be empty"),
        ("vllm", "0.33.0", ["--max-loras=many"], "error", 0, "a whole number; got 'many'"),
        ("vllm", "0.33.0", ["--compilation-config={bad"], "error", 0, "JSON"),
        ("vllm", "0.33.0", ["--max-lora-rank=17"], "error", 0, "must be one of"),
        ("vllm", "0.33.0", ["--quantization=fp9"], "error", 0, "must be one of"),
        ("sglang", "0.5.23", ["--kv-cache-dtype=fp8"], "error", 0, "must be one of"),
        ("sglang", "0.5.23", ["--attention-backend=FA3"], "error", 0, "must be one of"),
        ("vllm", "0.33.0", ["--enable-lora", "--enable-lora"], "error", 1, "stands twice"),
        ("vllm", "0.33.0", ["--max-lor=1"], "error", 0, "has no flag"),
        ("vllm", "0.33.0", ["--max-num-queued-req=1"], "warning", 0, "abbreviation"),
        ("vllm", "0.33.0", ["--log-config-file=x"], "warning", 0, "deprecated"),
        ("sglang", "0.5.23", ["--disable-cuda-graph"], "warning", 0, "deprecated"),
    ],
)
def test_bad(engine, version, args, severity, index, words):
    (fault,) = faults(engine, version, *args)
    assert (fault.severity, fault.field_path) == (severity, f"args[{index}]")
    assert words in fault.message


def test_between_two_versions_what_they_disagree_on_is_a_warning():
    between = "0.17.9"
    (fault,) = faults("vllm", between, "--shutdown-timeout=3")
    assert fault.severity == "warning"
    assert faults("vllm", between, "--enable-lora") == ()
    (fault,) = faults("vllm", between, "--never-heard-of")
    assert fault.severity == "error"


def test_all_faults_at_once():
    found = faults("vllm", "0.33.0", "--swap-space=4", "--max-loras=x", "--enable-lora=1")
    assert [fault.field_path for fault in found] == ["args[0]", "args[1]", "args[2]"]


def test_a_whole_argv_begins_with_the_model():
    own = ["Qwen/Qwen3-8B", "--host=0.0.0.0", "--port=8000", "--tensor-parallel-size=2"]
    assert argv_faults("vllm", "0.33.0", own, "args") == ()
    assert len(argv_faults("vllm", "0.33.0", [*own, "stray"], "args")) == 1


def test_an_engine_without_tables_is_not_judged():
    assert argv_faults("mock", "0.10.2", ["--whatever"], "args", {}) == ()


@pytest.mark.parametrize(
    ("engine", "version", "name", "severity", "words"),
    [
        ("vllm", "0.33.0", "VLLM_USE_V1", "warning", "leave it out"),
        ("vllm", "0.33.0", "VLLM_ATTENTION_BACKEND", "warning", "--attention-backend"),
        ("vllm", "0.33.0", "VLLM_LOGING_LEVEL", "warning", "VLLM_LOGGING_LEVEL"),
        ("vllm", "0.33.0", "HF_TOKEN", "error", "spec.model.tokenSecretRef"),
        ("vllm", "0.33.0", "MY_API_KEY", "error", "plain text"),
        ("vllm", "0.33.0", "A-B", "error", "name of a variable"),
        ("sglang", "0.5.23", "SGLANG_NO_SUCH_THING", "warning", "does not read"),
    ],
)
def test_bad_variable(engine, version, name, severity, words):
    owned = {"HF_TOKEN": "spec.model.tokenSecretRef"}
    (fault,) = env_faults(engine, version, {name: "1"}, "env", owned)
    assert (fault.severity, fault.field_path) == (severity, f"env.{name}")
    assert words in fault.message


@pytest.mark.parametrize("name", ["VLLM_LOGGING_LEVEL", "NCCL_DEBUG", "PYTORCH_CUDA_ALLOC_CONF"])
def test_good_variable(name):
    assert env_faults("vllm", "0.33.0", {name: "1"}, "env") == ()


@given(
    st.sampled_from(["vllm", "sglang"]),
    st.integers(0, 99),
    st.lists(st.text(max_size=12) | st.sampled_from(["--seed", "--seed=1", "-x", "--a.b=c", "="])),
)
def test_any_words_are_answered(engine, place, args):
    listed = known_versions(engine)
    for fault in argv_faults(engine, listed[place % len(listed)], args, "args", OWNED):
        assert fault.message
        assert fault.field_path.startswith("args[")
