"""Properties of the whole function, over configs that users may write.

Every property is held twice: with few examples in the inner loop and with many, marked `slow`. Both
are the same examples in every run; `HYPOTHESIS_PROFILE=random` looks for new ones.
"""

import copy
import json
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from configs import GPUS, MODELS, Document, document, extended, garbage, services
from hypothesis import given, settings
from hypothesis import strategies as st
from schemas import faults as schema_faults

from krm_fn import krm
from krm_fn.catalog import gpus, models
from krm_fn.catalog.rows import Gpu
from krm_fn.catalog.shape import Attention, Mla
from krm_fn.cli.plan import planned
from krm_fn.errors import KrmFnError, Result, has_errors
from krm_fn.function import OWNER, generate, report
from krm_fn.function.intake import intake
from krm_fn.function.pools import Planned
from krm_fn.krm import ResourceList
from krm_fn.planner.plan import Plan

Budget = Callable[..., Any]
RANDOM = os.environ.get("HYPOTHESIS_PROFILE") == "random"


def budget(profile: str) -> settings:
    return settings(settings.get_profile(profile), derandomize=not RANDOM)


twice = pytest.mark.parametrize(
    "examples",
    [
        pytest.param("few", id="few"),
        pytest.param("many", id="many", marks=pytest.mark.slow),
    ],
)


def hold(examples: str, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """`check` for so many values of the strategy."""
    budget(examples)(given(strategy)(check))()


def items(*documents: Document) -> ResourceList:
    """As files of a folder, so that a tree is written."""
    found = (krm.file_items(f"{n}.yaml", krm.dump(each)) for n, each in enumerate(documents))
    return ResourceList(items=tuple(item for each in found for item in each))


def plans_of(config: Document) -> tuple[Plan, ...]:
    """The plans of a config; none when it cannot be understood."""
    (found,) = planned(intake(items(config)))
    return found.plans if isinstance(found, Planned) else ()


def with_paths(config: Document, change: Mapping[str, Any]) -> Document:
    """The config with dotted paths below `spec` set, as a user pastes an alternative."""
    changed = copy.deepcopy(config)
    for path, value in change.items():
        at = changed["spec"]
        *above, last = path.split(".")
        for key in above:
            at = at.setdefault(key, {})
        at[last] = value
    return changed


@twice
def test_more_memory_never_fits_less(examples: str) -> None:
    """With the batch pinned, what fits on a GPU fits on one with more memory."""

    def check(drawn: tuple[Document, int, int]) -> None:
        config, memory, more = drawn
        config["spec"]["serving"] = config["spec"].get("serving", {}) | {
            "maxNumSeqs": 64,
            "maxNumBatchedTokens": 2048,
            "maxModelLen": 4096,
            "tensorParallelSize": 1,
            "pipelineParallelSize": 1,
        }
        config["spec"].pop("scaling", None)
        config["spec"].pop("workload", None)
        small = plans_of(with_paths(config, {"gpuPool.gpuMemory": f"{memory}Gi"}))
        large = plans_of(with_paths(config, {"gpuPool.gpuMemory": f"{memory + more}Gi"}))

        for one, other in zip(small, large, strict=True):
            assert other.memory.kv_cache_bytes >= one.memory.kv_cache_bytes
            assert other.feasible or not one.feasible

    hold(examples, st.tuples(services(), st.integers(8, 200), st.integers(1, 100)), check)


@twice
def test_the_chosen_tensor_size_divides_the_heads(examples: str) -> None:
    """Attention heads of every layer are shared out evenly, KV heads evenly or as copies."""

    def check(config: Document) -> None:
        shape = models.model_card(config["spec"]["model"]["id"]).shape
        for plan in plans_of(config):
            size = plan.parallelism.attention_tensor
            for mixer in {layer.mixer for layer in shape.layers} if plan.feasible else ():
                if isinstance(mixer, Attention | Mla):
                    assert mixer.num_heads % size == 0
                if isinstance(mixer, Attention):
                    assert mixer.num_kv_heads % size == 0 or size % mixer.num_kv_heads == 0

    hold(examples, services(), check)


@twice
def test_replicas_and_surge_stay_within_the_share(examples: str) -> None:
    """GPUs of the maximum, with the pod that a roll-out adds, of every overlay."""

    def check(config: Document) -> None:
        pool = config["spec"]["gpuPool"]
        share = pool.get("share") or pool["gpusPerNode"] * pool["nodes"]
        for plan in plans_of(config):
            if plan.feasible:
                assert plan.replicas <= plan.max_replicas
                assert plan.max_replicas * plan.gpus_per_replica <= share
                assert plan.gpus_per_replica <= pool["gpusPerNode"]
        for found in flat(config).values():
            assert most_gpus(found) <= share

    hold(examples, services(), check)


@twice
def test_what_is_asked_for_beside_the_model_is_planned_or_refused(examples: str) -> None:
    """Adapters, drafts, an offloaded cache: objects without a fault of our own, or an error; parts
    of the weights are parts.
    """

    def check(config: Document) -> None:
        for plan in plans_of(config):
            memory = plan.memory
            assert 0 <= memory.lora_bytes + memory.draft_bytes <= memory.weights_bytes
        for objects in flat(config).values():
            assert objects

    hold(examples, extended(), check)


def flat(config: Document) -> dict[str, list[Document]]:
    """The objects of each variant of a config that works."""
    found = {}
    (each,) = planned(intake(items(config)))
    names = [v.name for v in each.facts.variants] if isinstance(each, Planned) else []
    for name in names:
        chosen = with_paths(config, {"output.variant": name})
        try:
            answer = generate(items(chosen), mode="flat")
        except KrmFnError:
            return {}
        ours = (item.object for item in answer.items if OWNER in item.annotations)
        found[name] = [each for each in ours if each["kind"] != "LLMPlan"]
    return found


def most_gpus(objects: list[Document]) -> int:
    """GPUs that the Deployment takes at its maximum, while it is rolled out."""
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    requests = [c["resources"]["requests"].items() for c in pod["containers"]]
    gpus = sum(int(n) for each in requests for name, n in each if name.endswith("/gpu"))
    surge = deployment["spec"]["strategy"].get("rollingUpdate", {}).get("maxSurge", 0)
    return gpus * (most_replicas(objects, deployment) + surge)


def most_replicas(objects: list[Document], deployment: Document) -> int:
    for each in objects:
        if each["kind"] == "HorizontalPodAutoscaler":
            return int(each["spec"]["maxReplicas"])
        if each["kind"] == "ScaledObject":
            return int(each["spec"]["maxReplicaCount"])
    return int(deployment["spec"]["replicas"])


FLAGS = {
    "vllm": {
        "maxModelLen": "--max-model-len",
        "tensorParallelSize": "--tensor-parallel-size",
        "maxNumSeqs": "--max-num-seqs",
        "maxNumBatchedTokens": "--max-num-batched-tokens",
        "kvCacheDtype": "--kv-cache-dtype",
        "memoryFraction": "--gpu-memory-utilization",
    },
    "sglang": {
        "maxModelLen": "--context-length",
        "tensorParallelSize": "--tensor-parallel-size",
        "maxNumSeqs": "--max-running-requests",
        "maxNumBatchedTokens": "--chunked-prefill-size",
        "kvCacheDtype": "--kv-cache-dtype",
        "memoryFraction": "--mem-fraction-static",
    },
}
PLANNED = {
    "maxModelLen": "max_model_len",
    "maxNumSeqs": "max_num_seqs",
    "maxNumBatchedTokens": "max_num_batched_tokens",
    "kvCacheDtype": "kv_cache_dtype",
    "memoryFraction": "memory_fraction",
    "enforceEager": "enforce_eager",
}


@twice
def test_stated_values_stand_in_the_plan(examples: str) -> None:
    """Feasible or not, a plan has what was stated."""

    def check(config: Document) -> None:
        for plan in plans_of(config):
            wanted = stated_values(config, plan.variant)
            have = {field: getattr(plan.serving, name) for field, name in PLANNED.items()}
            have["tensorParallelSize"] = plan.parallelism.tensor
            assert {key: have[key] for key in wanted if key in have} == {
                key: value for key, value in wanted.items() if key in have
            }

    hold(examples, services(), check)


@twice
def test_stated_values_are_what_the_engine_is_told(examples: str) -> None:
    """The flag of every stated value, once, with this value."""

    def check(config: Document) -> None:
        for name, objects in flat(config).items():
            if name not in FLAGS:
                continue
            args = arguments(objects)
            for field, value in stated_values(config, name).items():
                if flag := FLAGS[name].get(field):
                    told = "fp8_e4m3" if (name, value) == ("sglang", "fp8") else value
                    assert [a for a in args if a.startswith(f"{flag}=")] == [f"{flag}={told}"]

    hold(examples, services(), check)


def stated_values(config: Document, variant: str) -> Document:
    """Of serving and of the variant."""
    own = (config["spec"].get("variants") or {}).get(variant) or {}
    return {**config["spec"].get("serving", {}), **own}


def arguments(objects: list[Document]) -> list[str]:
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container["args"]


@twice
def test_alternatives_work_when_pasted(examples: str) -> None:
    """Every change that is offered renders."""

    def check(config: Document) -> None:
        plans = plans_of(config)
        for way in next((plan.alternatives for plan in plans if not plan.feasible), ()):
            changed = with_paths(config, way.change)
            assert not has_errors(generate(items(changed), mode="tree").results), way.change

    hold(examples, services(), check)


@twice
def test_what_parses_renders_valid_objects_or_is_refused_in_words(examples: str) -> None:
    """No exception but KrmFnError; strict schemas for all that is written."""

    def check(config: Document) -> None:
        if faults := refusal(config):
            assert has_errors(faults)
            return
        for objects in flat(config).values():
            assert [fault for each in objects for fault in schema_faults(each)] == []

    hold(examples, services(), check)


def refusal(config: Document) -> tuple[Result, ...]:
    """Why a config is refused; nothing when it is not."""
    try:
        generate(items(config), mode="tree")
    except KrmFnError as fault:
        return fault.results
    return ()


@twice
def test_garbage_is_refused_in_words(examples: str) -> None:
    """Mutated documents: faults of the user, never a bug of the function."""

    def check(config: Document) -> None:
        answer = krm.run(krm.serialise(items(config)), generate, owner_key=OWNER)
        assert "this is a bug" not in answer.text

    hold(examples, garbage(), check)


@twice
def test_the_same_input_gives_the_same_bytes(examples: str) -> None:
    """Twice in one process, and again with the keys of the config in another order."""

    def check(config: Document) -> None:
        once, again = answered(config), answered(copy.deepcopy(config))
        turned = answered(config | {"spec": dict(reversed(config["spec"].items()))})
        assert once == again
        assert once == turned

    hold(examples, services(), check)


def answered(config: Document) -> list[Any]:
    try:
        answer = generate(items(config), mode="tree")
    except KrmFnError as fault:
        return [result.line for result in fault.results]
    written = [item.raw for item in answer.items if OWNER in item.annotations]
    return [*written, *(result.line for result in answer.results)]


@twice
def test_a_second_run_over_the_output_changes_nothing(examples: str) -> None:
    """The list that comes out, put in again, comes out the same."""

    def check(config: Document) -> None:
        if refusal(config):
            return
        once = generate(items(config), mode="tree")
        again = generate(ResourceList(items=once.items), mode="tree")

        assert [item.raw for item in again.items] == [item.raw for item in once.items]

    hold(examples, services(), check)


DENSE = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B", "meta-llama/Llama-3.3-70B-Instruct")


@twice
def test_no_estimate_is_better_than_the_hardware(examples: str) -> None:
    """A token needs the weights of its GPU read once, a prompt two operations a weight.

    The bound is computed here, from the published sizes, and not by the planner.
    """

    def check(config: Document) -> None:
        spec = config["spec"]
        shape, gpu = models.model_card(spec["model"]["id"]).shape, gpu_of(config)
        load = spec.get("workload") or {}
        tokens = load.get("inputTokens", 1024) * (1 - load.get("prefixHitRate", 0))
        for plan in plans_of(config):
            if plan.estimate is None:
                continue
            embedding = shape.vocab_size * shape.hidden_size * 2 / plan.parallelism.tensor
            read = plan.memory.weights_bytes - embedding
            layers = read * plan.parallelism.tensor * plan.parallelism.pipeline / 2
            rate = max(filter(None, (gpu.flops.bf16, gpu.flops.fp16))) * 1e12
            assert plan.estimate.itl_seconds >= 0.999 * read / gpu.bandwidth_bytes
            gpus = plan.parallelism.tensor * plan.parallelism.pipeline
            prefill = 2 * (layers - embedding * gpus / 2) * tokens / (rate * gpus)
            assert plan.estimate.ttft_seconds >= 0.999 * prefill
            assert math.isfinite(plan.estimate.ttft_seconds)

    hold(examples, services(DENSE), check)


def gpu_of(config: Document) -> Gpu:
    found = gpus.gpu(config["spec"]["gpuPool"]["gpu"])
    assert found
    return found


PLAN_KEYS = {
    "service": str,
    "variant": str,
    "engine": str,
    "engine_version": str,
    "feasible": bool,
    "parallelism": dict,
    "gpus_per_replica": int,
    "replicas": int,
    "max_replicas": int,
    "memory": dict,
    "serving": dict,
    "estimate": dict | None,
    "reasons": list,
    "alternatives": list,
    "results": list,
}


@twice
def test_the_plan_as_json_has_its_keys(examples: str) -> None:
    """The interface of `krm-fn plan -o json`: keys, types, and text that JSON can hold."""

    def check(config: Document) -> None:
        for plan in plans_of(config):
            found = json.loads(json.dumps(report.plan_json(plan), allow_nan=False))
            assert list(found) == list(PLAN_KEYS)
            assert [k for k, kind in PLAN_KEYS.items() if not isinstance(found[k], kind)] == []

    hold(examples, services(), check)


def test_every_model_and_gpu_of_the_strategies_is_known() -> None:
    """A renamed row would drop every config that names it, unseen."""
    for name in MODELS:
        assert models.model_card(name), name
    for name in GPUS:
        config = document({"model": {"id": MODELS[0]}, "gpuPool": {"gpu": name}})
        assert plans_of(config), name
