"""Flags for what a service asks of an engine beside the model."""

import json
from dataclasses import replace

import asking
import pytest

from krm_fn.catalog import models
from krm_fn.engines import ENGINES, sglang_extras, versions, vllm_extras
from krm_fn.engines.argv import argv_faults
from krm_fn.planner.extras import NO_EXTRAS, Draft, DraftRules, Extras, Lora, LoraRules, Offload
from krm_fn.units import GIB

ARGS = {"vllm": vllm_extras.args, "sglang": sglang_extras.args}
IMAGES = Extras(limits=(("image", 4), ("video", 0)))

MTP = Extras(draft=Draft(method="mtp", tokens=2, layers=1, rules=DraftRules()))
DRAFT = Extras(draft=Draft(method="draft", tokens=3, model="org/small", rules=DraftRules()))
NGRAM = Extras(draft=Draft(method="ngram", tokens=4, rules=DraftRules()))


def spoken(**config):
    return f"--speculative-config={json.dumps(config)}"


SQL = Extras(lora=Lora(max_loras=2, max_rank=32, adapters=(("sql", "org/sql"),)))


@pytest.mark.parametrize("engine", ARGS)
def test_nothing_is_said_where_nothing_is_asked_for(engine):
    assert ARGS[engine](NO_EXTRAS) == ()


@pytest.mark.parametrize(
    ("engine", "extras", "args"),
    [
        ("vllm", Extras(prefix_caching=True), ("--enable-prefix-caching",)),
        ("vllm", Extras(prefix_caching=False), ("--no-enable-prefix-caching",)),
        ("vllm", Extras(text_only=True), ("--language-model-only",)),
        ("vllm", IMAGES, ('--limit-mm-per-prompt={"image": 4, "video": 0}',)),
        (
            "vllm",
            SQL,
            (
                "--enable-lora",
                "--max-loras=2",
                "--max-lora-rank=32",
                "--max-cpu-loras=2",
                "--lora-modules",
                "sql=org/sql",
            ),
        ),
        (
            "sglang",
            SQL,
            (
                "--enable-lora",
                "--max-loras-per-batch=3",
                "--max-lora-rank=32",
                "--lora-target-modules",
                *sglang_extras.TARGETS,
                "--lora-paths",
                "sql=org/sql",
            ),
        ),
        (
            "vllm",
            MTP,
            ('--speculative-config={"method": "mtp", "num_speculative_tokens": 2}',),
        ),
        (
            "vllm",
            DRAFT,
            (spoken(method="draft_model", model="org/small", num_speculative_tokens=3),),
        ),
        (
            "vllm",
            NGRAM,
            (
                spoken(
                    method="ngram",
                    prompt_lookup_min=2,
                    prompt_lookup_max=5,
                    num_speculative_tokens=4,
                ),
            ),
        ),
        (
            "sglang",
            MTP,
            (
                "--speculative-algorithm=EAGLE",
                "--speculative-num-steps=2",
                "--speculative-eagle-topk=1",
                "--speculative-num-draft-tokens=3",
            ),
        ),
        (
            "sglang",
            DRAFT,
            (
                "--speculative-algorithm=STANDALONE",
                "--speculative-draft-model-path=org/small",
                "--speculative-num-steps=3",
                "--speculative-eagle-topk=1",
                "--speculative-num-draft-tokens=4",
            ),
        ),
        (
            "sglang",
            NGRAM,
            ("--speculative-algorithm=NGRAM", "--speculative-num-draft-tokens=5"),
        ),
        ("sglang", Extras(prefix_caching=True), ()),
        ("sglang", Extras(prefix_caching=False), ("--disable-radix-cache",)),
        ("sglang", Extras(text_only=True), ("--language-model-only",)),
        ("sglang", IMAGES, ('--limit-mm-data-per-request={"image": 4, "video": 0}',)),
    ],
)
def test_each_engine_has_its_own_words(engine, extras, args):
    rules = LoraRules(base_slots=1) if engine == "sglang" else LoraRules()
    lora = replace(extras.lora, rules=rules) if extras.lora else None

    assert ARGS[engine](replace(extras, lora=lora)) == args


@pytest.mark.parametrize("engine", ARGS)
def test_the_newest_version_takes_all_of_them(engine):
    asked = (Extras(prefix_caching=False, text_only=True), IMAGES, SQL, MTP, DRAFT, NGRAM)
    newest = versions.newest(engine)
    found = [argv_faults(engine, newest, ARGS[engine](each), "args") for each in asked]

    assert found == [()] * len(asked)


@pytest.mark.parametrize("engine", ARGS)
def test_every_version_takes_adapters(engine):
    for version in versions.known_versions(engine):
        assert argv_faults(engine, version, ARGS[engine](SQL), "args") == ()


@pytest.mark.parametrize("engine", ARGS)
def test_what_a_field_needs_is_a_flag_of_some_version(engine):
    for flag in ENGINES[engine].needs.values():
        assert versions.versions_with(engine, flag)


def offloading(engine, version, size, vendor="nvidia"):
    rules = ENGINES[engine].offload(version, vendor)
    return Extras(offload=Offload(size_bytes=size, rules=rules))


def test_vllm_takes_gib_of_all_gpus_of_one_engine():
    """100 GiB in a pod of two copies."""
    extras = offloading("vllm", "0.33.0", 100 * GIB)

    assert vllm_extras.args(extras, 2) == (
        "--kv-offloading-size=50",
        "--kv-offloading-backend=native",
    )


def test_sglang_takes_whole_gigabytes_of_a_rank():
    """107,374,182,400 B / 4 GPUs / 10^9 = 26.8."""
    extras = offloading("sglang", "0.5.23", 100 * GIB)

    assert sglang_extras.args(extras, 4) == ("--enable-hierarchical-cache", "--hicache-size=26")


@pytest.mark.parametrize("version", ["0.11.2", "0.13.0", "0.14.0", "0.33.0"])
def test_vllm_versions_take_both_flags(version):
    args = vllm_extras.args(offloading("vllm", version, GIB))

    assert argv_faults("vllm", version, args, "args") == ()


@pytest.mark.parametrize("version", versions.known_versions("sglang"))
def test_sglang_versions_take_both_flags(version):
    args = sglang_extras.args(offloading("sglang", version, GIB))

    assert argv_faults("sglang", version, args, "args") == ()


@pytest.mark.parametrize(
    ("version", "vendor", "shared"),
    [("0.26.0", "nvidia", False), ("0.27.0", "nvidia", True), ("0.33.0", "amd", False)],
)
def test_vllm_keeps_it_in_dev_shm_from_0_27_on(version, vendor, shared):
    """SharedOffloadRegion, on CUDA only; else memory of the workers."""
    assert ENGINES["vllm"].offload(version, vendor).shared is shared


@pytest.mark.parametrize("engine", ARGS)
@pytest.mark.parametrize("method", ["mtp", "eagle3", "draft", "ngram"])
def test_versions_that_draft_take_the_flags(engine, method):
    """Of every listed version that drafts by a method for DeepSeek V3, or for Llama."""
    card = models.model_card(
        "deepseek-ai/DeepSeek-V3" if method == "mtp" else "meta-llama/Llama-3.1-8B-Instruct"
    )
    drafted = [
        version
        for version in versions.known_versions(engine)
        if ENGINES[engine].draft(version, method, card.shape)
    ]
    model = None if method in ("mtp", "ngram") else "org/small"
    extras = Extras(draft=Draft(method=method, tokens=1, model=model, rules=DraftRules()))

    assert drafted
    assert [argv_faults(engine, v, ARGS[engine](extras), "args") for v in drafted] == [()] * len(
        drafted
    )


def test_drafts_are_pinned():
    """Draft layers of a pinned model too: vLLM would load those of the newest revision."""
    layers = replace(MTP.draft, revision="a" * 40)
    small = replace(DRAFT.draft, revision="b" * 40)

    assert json.loads(vllm_extras.draft_args(layers)[0].partition("=")[2])["revision"] == "a" * 40
    assert not any("revision" in arg for arg in sglang_extras.draft_args(layers))
    assert f"--speculative-draft-model-revision={'b' * 40}" in sglang_extras.draft_args(small)


PREFILL = ("--chunked-prefill-size", "--max-prefill-tokens", "--attention-backend")


@pytest.mark.parametrize("version", ["0.4.9.post6", "0.5.23"])
@pytest.mark.parametrize(
    "model", ["BAAI/bge-m3", "BAAI/bge-reranker-v2-m3", "google/embeddinggemma-300m"]
)
def test_sglang_reads_the_prompts_of_an_encoder_whole(model: str, version: str) -> None:
    """As docs.sglang.io/supported_models/rerank_models.html starts it."""
    variants = {"sglang": {"version": version}}
    found = asking.container(asking.objects("sglang", model, "NVIDIA-L4", variants=variants))
    args = dict(text.partition("=")[::2] for text in found["args"])

    assert [args[flag] for flag in PREFILL] == ["-1", args["--context-length"], "triton"]
    assert {"--disable-radix-cache", "--is-embedding"} <= set(args)


def test_what_the_user_says_of_an_encoder_stands_once() -> None:
    found = asking.container(
        asking.objects(
            "sglang",
            "BAAI/bge-m3",
            "NVIDIA-L4",
            variants={"sglang": {"extraArgs": ["--attention-backend=torch_native"]}},
            serving={"prefixCaching": False},
        )
    )
    flags = [text.partition("=")[0] for text in found["args"]]

    assert flags.count("--attention-backend") == flags.count("--disable-radix-cache") == 1


def test_sglang_reads_the_prompts_of_a_decoder_in_chunks() -> None:
    found = asking.container(
        asking.objects("sglang", "Qwen/Qwen3-Embedding-8B", "NVIDIA-L4", variants={"sglang": {}})
    )

    assert "--disable-radix-cache" not in found["args"]
