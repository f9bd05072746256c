"""What versions have, between the listed ones too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krm_fn.catalog.releases import release_key
from krm_fn.engines import versions

ENGINES = ("vllm", "sglang")


@pytest.mark.parametrize("engine", ENGINES)
def test_tables_are_in_order_and_sourced(engine):
    for table in (versions.flag_table(engine), versions.name_table(engine)):
        assert table["source"]
        keys = [release_key(version) for version in table["versions"]]
        assert keys == sorted(set(keys))
    assert versions.name_table(engine)["versions"] == list(versions.known_versions(engine))


@pytest.mark.parametrize("engine", ENGINES)
def test_spans_name_listed_versions(engine):
    listed = set(versions.known_versions(engine))
    names = versions.name_table(engine)
    spans = [row["in"] for row in versions.flag_table(engine)["flags"].values()]
    spans += [each for part in ("env", "metrics", "architectures") for each in names[part].values()]
    assert spans
    for span in " ".join(spans).split():
        first, dots, last = span.partition("..")
        assert dots
        assert {first, last or first} <= listed


@pytest.mark.parametrize("engine", ENGINES)
def test_other_spellings_lead_to_a_flag(engine):
    rows = versions.flag_table(engine)["flags"]
    assert all(
        row["of"] in rows and "of" not in rows[row["of"]] for row in rows.values() if "of" in row
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_replacements_are_of_known_names_and_name_known_flags(engine):
    flags, names = versions.flag_table(engine)["flags"], versions.name_table(engine)
    for name, instead in versions.replacements(engine).items():
        assert name in flags or name in names["env"] or name in names["metrics"], name
        named = [word for word in instead.replace("=", " ").split() if word.startswith("--")]
        assert set(named) <= set(flags)


@pytest.mark.parametrize(
    ("engine", "version", "flag", "has"),
    [
        ("vllm", "0.16.0", "--swap-space", True),
        ("vllm", "0.18.0", "--swap-space", False),
        ("vllm", "0.11.2", "--task", True),
        ("vllm", "0.14.0", "--task", False),
        ("vllm", "0.33.0", "--disable-log-requests", True),
        ("vllm", "0.20.0", "--disable-log-requests", False),
        ("vllm", "0.18.0", "--shutdown-timeout", True),
        ("vllm", "0.16.0", "--shutdown-timeout", False),
        ("vllm", "0.19.1", "--shutdown-timeout", True),
        ("sglang", "0.5.18", "--cuda-graph-max-bs", True),
        ("sglang", "0.5.21", "--cuda-graph-max-bs", False),
        ("sglang", "0.5.2", "--enable-ep-moe", True),
        ("sglang", "0.5.5", "--enable-ep-moe", False),
    ],
)
def test_has_flag(engine, version, flag, has):
    assert versions.has_flag(engine, version, flag) is has


def test_has_env_and_metric():
    assert versions.has_env("vllm", "0.10.2", "VLLM_USE_V1")
    assert not versions.has_env("vllm", "0.33.0", "VLLM_USE_V1")
    assert versions.has_metric("vllm", "0.33.0", "vllm:kv_cache_usage_perc")
    assert not versions.has_metric("vllm", "0.33.0", "vllm:gpu_cache_usage_perc")
    assert versions.has_metric("vllm", "0.33.0", "vllm:num_preemptions_total")
    assert versions.has_metric("sglang", "0.5.23", "sglang:num_queue_reqs")


def test_defaults_and_choices_by_version():
    fraction = "--gpu-memory-utilization"
    assert versions.default("vllm", "0.19.0", fraction) == 0.9
    assert versions.default("vllm", "0.20.0", fraction) == 0.92
    assert "nvfp4" in versions.choices("vllm", "0.33.0", "--kv-cache-dtype")
    assert "nvfp4" not in versions.choices("vllm", "0.16.0", "--kv-cache-dtype")
    assert "fp8" not in versions.choices("sglang", "0.5.23", "--kv-cache-dtype")
    assert versions.choices("vllm", "0.33.0", "--max-num-seqs") == ()


@pytest.mark.parametrize(
    ("version", "spans", "state"),
    [
        ("0.16.0", "0.9.2..0.16.0", "yes"),
        ("0.16.1", "0.9.2..0.16.0", "uncertain"),
        ("0.18.0", "0.9.2..0.16.0", "no"),
        ("0.18.5", "0.9.2..0.16.0", "no"),
        ("0.19.7", "0.9.2..", "yes"),
        ("0.99.0", "0.9.2..", "yes"),
        ("0.99.0", "0.9.2..0.16.0", "no"),
        ("0.99.0", "", "uncertain"),
        ("0.19.7", "", "no"),
        ("0.8.5", "0.33.0..", "uncertain"),
    ],
)
def test_state(version, spans, state):
    assert versions.state("vllm", version, spans) == state


@pytest.mark.parametrize(
    ("version", "severity", "words"),
    [
        ("0.33.0", None, ""),
        ("0.33", "error", "full release"),
        ("0.19.7", None, ""),
        ("0.8.5", "error", "supported from"),
        ("0.99.0", "warning", "newer than the tables"),
        ("latest", "error", 'such as "'),
    ],
)
def test_version_faults(version, severity, words):
    faults = versions.version_faults("vllm", version, "spec.variants.vllm.version")
    assert [fault.severity for fault in faults] == ([severity] if severity else [])
    assert all(words in fault.message for fault in faults)


@pytest.mark.parametrize(
    ("engine", "version", "names", "severity", "words"),
    [
        ("vllm", "0.33.0", ["Qwen3ForCausalLM"], None, ""),
        ("vllm", "0.16.0", ["Gemma4ForCausalLM"], "error", "and newer"),
        ("vllm", "0.33.0", ["QWenLMHeadModel"], "error", "0.9"),
        ("vllm", "0.33.0", ["FooForCausalLM"], "warning", "Transformers backend"),
        ("vllm", "0.33.0", ["FooForCausalLM", "LlamaForCausalLM"], None, ""),
        ("vllm", "0.33.0", [], None, ""),
        ("sglang", "0.5.2", ["Gemma4ForCausalLM"], "error", "and newer"),
        ("sglang", "0.5.23", ["DeepseekV32ForCausalLM"], None, ""),
    ],
)
def test_architecture_faults(engine, version, names, severity, words):
    faults = versions.architecture_faults(engine, version, names, "spec.model.config")
    assert [fault.severity for fault in faults] == ([severity] if severity else [])
    assert all(words in fault.message for fault in faults)


def test_a_missing_architecture_proposes_a_version_that_has_it():
    (fault,) = versions.architecture_faults("vllm", "0.16.0", ["Gemma4ForCausalLM"], "x")
    assert versions.architecture_faults("vllm", fault.proposed, ["Gemma4ForCausalLM"], "x") == ()


def test_the_mock_has_no_tables():
    assert versions.known_versions("mock") == ()
    assert versions.version_faults("mock", "0.10.2", "x") == ()


@given(st.sampled_from(ENGINES), st.integers(0, 1), st.integers(0, 40), st.integers(0, 30))
def test_state_agrees_with_both_neighbours(engine, major, minor, patch):
    version = f"{major}.{minor}.{patch}"
    before, after = versions.neighbours(engine, version)
    for row in list(versions.flag_table(engine)["flags"].values())[::40]:
        has = {versions.listed_in(engine, each, row["in"]) for each in (before, after) if each}
        expected = {"yes": {True}, "no": {False}, "uncertain": {True, False}}
        state = versions.state(engine, version, row["in"])
        assert has <= expected[state]
