"""Strategies: functionConfigs that a user may write, and documents that nobody should."""

import copy
from typing import Any

from hypothesis import strategies as st

from krm_fn.engines.versions import known_versions

Document = dict[str, Any]

MODELS = (
    "Qwen/Qwen3-0.6B",
    "Qwen/Qwen3-8B",
    "Qwen/Qwen3-32B-AWQ",
    "Qwen/Qwen3-30B-A3B-FP8",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "Qwen/Qwen3-Embedding-8B",
    "meta-llama/Llama-3.3-70B-Instruct",
    "google/gemma-3-27b-it",
    "openai/gpt-oss-120b",
    "deepseek-ai/DeepSeek-R1",
)
GPUS = (
    "NVIDIA-L4",
    "NVIDIA-L40S",
    "NVIDIA-A100-SXM4-80GB",
    "NVIDIA-H100-80GB-HBM3",
    "NVIDIA-B200",
    "AMD_Instinct_MI300X_OAM",
)
VARIANTS = ({"vllm": {}}, {"sglang": {}}, {"vllm": {}, "sglang": {}}, {"mock": {}, "vllm": {}})


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def document(spec: Document, name: str = "chat") -> Document:
    return {
        "apiVersion": "krm-fn.dev/v1alpha1",
        "kind": "LLMService",
        "metadata": {"name": name},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def stated(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    """A map in which each field stands or does not."""
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def pools(draw: st.DrawFn, gpus: tuple[str, ...] = GPUS) -> Document:
    size, nodes = draw(st.sampled_from((1, 2, 4, 8))), draw(st.integers(1, 3))
    platform = draw(st.sampled_from(("gfd", "gke", "eks", "karpenter", "aks", "nodepool")))
    more = stated(
        share=st.integers(1, size * nodes),
        spot=st.booleans(),
        driver=st.just("580"),
        taints=st.sampled_from(([], [{"key": "team", "value": "ml", "effect": "NoSchedule"}])),
        node=st.just({"cpu": "96", "memory": "900Gi", "ephemeralStorage": "1Ti"}),
        runtimeClassName=st.just("nvidia"),
    )
    return {
        "gpu": draw(st.sampled_from(gpus)),
        "gpusPerNode": size,
        "nodes": nodes,
        "platform": platform,
        "nodePool": "gpu-pool",
        **draw(more),
    }


def workloads() -> st.SearchStrategy[Document]:
    load = st.one_of(
        st.just({}),
        st.builds(lambda n: {"concurrency": n}, st.integers(1, 200)),
        st.builds(lambda r: {"requestsPerSecond": r}, st.sampled_from((0.1, 1.0, 5.0, 20.0))),
    )
    shape = stated(
        inputTokens=st.integers(1, 8000),
        outputTokens=st.integers(1, 2000),
        prefixHitRate=st.sampled_from((0, 0.5)),
        objectives=stated(
            ttft=st.sampled_from(("100ms", "2s")),
            itl=st.sampled_from(("20ms", "200ms")),
            percentile=st.sampled_from(("mean", "p95")),
        ),
    )
    return st.builds(lambda a, b: a | b, load, shape)


def servings() -> st.SearchStrategy[Document]:
    """Pins that suit every engine."""
    return stated(
        maxModelLen=st.sampled_from((512, 4096, 32768)),
        tensorParallelSize=st.sampled_from((1, 2, 4, 8)),
        maxNumSeqs=st.integers(1, 512),
        maxNumBatchedTokens=st.sampled_from((1024, 2048, 8192)),
        kvCacheDtype=st.sampled_from(("auto", "fp8")),
        enforceEager=st.booleans(),
        dtype=st.sampled_from(("auto", "bfloat16")),
    )


EXTRAS: tuple[Document, ...] = (
    {"prefixCaching": True},
    {"prefixCaching": False, "maxNumSeqs": 32},
    {"multimodal": {"textOnly": True}},
    {"multimodal": {"limits": {"image": 2, "video": 0}}},
    {"lora": {"maxLoras": 2, "maxRank": 32, "adapters": [{"name": "sql", "id": "org/sql"}]}},
    {"kvOffload": {"size": "64Gi"}},
    {"speculative": {"method": "mtp"}},
    {"speculative": {"method": "ngram", "tokens": 4}},
    {"speculative": {"method": "draft", "model": {"id": "Qwen/Qwen3-0.6B"}}},
)
"""What may be asked for beside the model; much of it suits one engine or model only."""


@st.composite
def variants(draw: st.DrawFn) -> Document | None:
    chosen = copy.deepcopy(draw(st.none() | st.sampled_from(VARIANTS)))
    for name in chosen or ():
        if name != "mock" and draw(st.booleans()):
            chosen[name]["version"] = draw(st.sampled_from(known_versions(name)))
        if name != "mock" and draw(st.booleans()):
            chosen[name]["memoryFraction"] = draw(st.sampled_from((0.6, 0.85, 0.9)))
    return chosen


SCALING = (
    {"owner": "hpa"},
    {"owner": "hpa", "maxReplicas": 2},
    {"owner": "keda", "metrics": "keda"},
    {"owner": "none", "replicas": 2},
    {"minReplicas": 1, "maxReplicas": 3, "metrics": "gke"},
)
STORAGE = (
    {"cache": "claim", "size": "100Gi"},
    {"cache": "ephemeral"},
    {"cache": "none"},
    {"storageClass": "fast", "accessMode": "ReadWriteMany", "downloadBandwidth": "1GB/s"},
)
OUTPUT = ({"path": "llm/chat"}, {"namespaceObject": True}, {"images": {"registry": "mirror.acme"}})
ACCESS = ({"networkPolicy": False}, {"from": [{"namespace": "apps"}]})


@st.composite
def services(
    draw: st.DrawFn, models: tuple[str, ...] = MODELS, gpus: tuple[str, ...] = GPUS
) -> Document:
    """A functionConfig that parses; whether it can work is the function's to say."""
    return document(
        {
            "model": {"id": draw(st.sampled_from(models))},
            "gpuPool": draw(pools(gpus)),
            "workload": draw(maybe(workloads())),
            "serving": draw(maybe(servings())),
            "variants": draw(variants()),
            "scaling": draw(maybe(st.sampled_from(SCALING))),
            "storage": draw(maybe(st.sampled_from(STORAGE))),
            "access": draw(maybe(st.sampled_from(ACCESS))),
            "security": draw(maybe(st.just({"runAsUser": 1000}))),
            "monitoring": draw(maybe(st.just({"podMonitor": True}))),
            "output": draw(maybe(st.sampled_from(OUTPUT))),
        }
    )


@st.composite
def extended(draw: st.DrawFn) -> Document:
    """A functionConfig that asks for one thing beside the model."""
    config = draw(services())
    config["spec"]["serving"] = config["spec"].get("serving", {}) | draw(st.sampled_from(EXTRAS))
    return config


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every value of a document, outer ones first."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    return [each for key in keys for each in ((*above, key), *paths(value[key], (*above, key)))]


RUBBISH = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.just([[1], {"a": "b"}]),
    st.just({"name": {"name": 1}}),
    st.sampled_from(("0", "-1", "1e400", "80Gi", "500ms", "v0.33.0", "../x", "a" * 300, "\x00")),
)


@st.composite
def garbage(draw: st.DrawFn) -> Document:
    """A good document in which a few keys or values were replaced, added or removed."""
    found = copy.deepcopy(draw(services()))
    for _ in range(draw(st.integers(1, 4))):
        places = paths(found)
        if not places:
            return found
        *above, last = draw(st.sampled_from(places))
        inner: Any = found
        for key in above:
            inner = inner[key]
        match draw(st.sampled_from(("replace", "remove", "rename", "add"))):
            case "replace":
                inner[last] = draw(RUBBISH)
            case "remove":
                del inner[last]
            case "rename" if isinstance(inner, dict):
                inner[draw(st.text(min_size=1, max_size=6))] = inner.pop(last)
            case _ if isinstance(inner, dict):
                inner[draw(st.text(min_size=1, max_size=6))] = draw(RUBBISH)
            case _:
                inner.append(draw(RUBBISH))
    return found
