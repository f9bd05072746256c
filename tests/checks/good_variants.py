"""The good sets, what is known beside them, and bad inputs: patches of a good set.

A bad input is a YAML file whose first comment lines are the expected findings:

    # of: mock                       (the good set; vllm when absent)
    # error: Deployment/qwen3-8b spec.template...: must ...
    kind: Deployment
    spec: ...

Maps and lists of named maps merge, `null` removes, all else replaces; an object that is not in the
set is added. A document of kind `Facts` changes the plan, the server or the pool; `facts: none`
checks the objects alone.
"""

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from krm_fn.checks import Context, Pool
from krm_fn.engines.base import Probe, Server
from krm_fn.krm import yaml
from krm_fn.planner.plan import MemoryBudget, Parallelism, Plan, Serving

FOLDER = Path(__file__).parent
GIB = 2**30

POOL = Pool(
    share=8,
    gpus_per_node=8,
    nodes=1,
    node_selector=(
        ("cloud.google.com/gke-accelerator", "nvidia-h100-80gb"),
        ("kubernetes.io/arch", "amd64"),
    ),
    tolerations=({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},),
)
PLAN = Plan(
    service="qwen3-8b",
    variant="vllm",
    engine="vllm",
    engine_version="0.33.0",
    feasible=True,
    parallelism=Parallelism(tensor=2),
    replicas=1,
    max_replicas=4,
    memory=MemoryBudget(
        total_bytes=80 * GIB,
        budget_bytes=73 * GIB,
        weights_bytes=8 * GIB,
        activation_bytes=2 * GIB,
        non_torch_bytes=GIB,
        cuda_graph_bytes=GIB,
        kv_cache_bytes=60 * GIB,
        kv_cache_bytes_per_token=73728,
        kv_cache_blocks=54613,
        block_size=16,
        kv_cache_tokens=873808,
        max_concurrency=26.7,
    ),
    serving=Serving(
        max_model_len=32768, max_num_seqs=128, max_num_batched_tokens=8192, memory_fraction=0.92
    ),
    estimate=None,
)


def _probe(period, timeout, failures, path="/health"):
    return Probe(
        path=path, period_seconds=period, timeout_seconds=timeout, failure_threshold=failures
    )


VLLM = Server(
    engine="vllm",
    version="0.33.0",
    image="vllm/vllm-openai:v0.33.0",
    command=("vllm", "serve"),
    args=(),
    env=(("HF_HOME", "/models/hf"), ("HOME", "/home/vllm"), ("USER", "vllm")),
    secret_env=(("HF_TOKEN", "hf-token", "HF_TOKEN", False),),
    startup=_probe(10, 5, 180),
    readiness=_probe(5, 2, 3),
    liveness=_probe(10, 5, 6),
    gpus=2,
    user=2000,
    writable=(("cache", "/cache", 10 * GIB), ("home", "/home/vllm", None), ("tmp", "/tmp", None)),
    cache_path="/models",
    cache_bytes=50 * GIB,
    shared_memory_bytes=8 * GIB,
    shutdown_seconds=120,
    startup_seconds=1800,
)
MOCK = Server(
    engine="mock",
    version="0.10.2",
    image="ghcr.io/llm-d/llm-d-inference-sim:v0.10.2",
    command=(),
    args=(),
    env=(("NVIDIA_VISIBLE_DEVICES", "void"),),
    field_env=(("POD_IP", "status.podIP"),),
    startup=_probe(1, 5, 60),
    readiness=_probe(5, 2, 3, "/health/ready"),
    liveness=_probe(10, 5, 3),
    user=65532,
    read_only_root=True,
    writable=(("tmp", "/tmp", 64 * 2**20),),
    pre_stop_seconds=5,
    startup_seconds=60,
    files=(("config.yaml", "port: 8000\nmodel: llama\n"),),
)
FACTS = {
    "mock": {"server": MOCK, "pool": POOL},
    "vllm": {"plan": PLAN, "server": VLLM, "pool": POOL},
    "shared": {"plan": PLAN, "server": VLLM, "pool": POOL},
}


def good(name="vllm", *, facts=True):
    """The context of a good set, its objects fresh."""
    objects = yaml.load_all((FOLDER / "good" / f"{name}.yaml").read_text())
    known = FACTS[name] | {"external": frozenset()} if facts else {}
    return Context(objects=tuple(objects), **known)


def bad(path):
    """The context of a bad input and the lines that must be found."""
    head, documents = path.read_text(), yaml.load_all(path.read_text())
    options = dict(re.findall(r"^# (of|facts): (\w+)$", head, re.MULTILINE))
    expected = re.findall(r"^# ((?:error|warning): .*)$", head, re.MULTILINE)
    context = good(options.get("of", "vllm"), facts=options.get("facts") != "none")
    for document in documents:
        context = _changed(context, document)
    return context, expected


def _changed(context, document):
    if document["kind"] == "Facts":
        return _with_facts(context, {k: v for k, v in document.items() if k != "kind"})
    objects = [deepcopy(each) for each in context.objects]
    name = document.get("metadata", {}).get("name")
    wanted = (each for each in objects if each["kind"] == document["kind"])
    found = next((x for x in wanted if name in (None, x["metadata"]["name"])), None)
    if found is None or document.pop("again", None):
        objects.append(document)
    else:
        merge(found, document)
    return replace(context, objects=tuple(objects))


def _with_facts(value, changes):
    new = {
        key: _with_facts(getattr(value, key), change) if isinstance(change, dict) else change
        for key, change in changes.items()
    }
    new = {key: tuple(x) if isinstance(x, list) else x for key, x in new.items()}
    return replace(value, **new)


def merge(node, change):
    for key, value in change.items():
        if value is None:
            node.pop(key, None)
        elif isinstance(value, dict) and isinstance(node.get(key), dict):
            merge(node[key], value)
        elif _named(value) and _named(node.get(key)):
            _merge_list(node[key], value)
        else:
            node[key] = value


def _named(value):
    return isinstance(value, list) and bool(value) and all(_key(item) for item in value)


def _key(item):
    return isinstance(item, dict) and (item.get("mountPath") or item.get("name"))


def _merge_list(nodes, changes):
    for change in changes:
        found = next((node for node in nodes if _key(node) == _key(change)), None)
        if change.pop("remove", None):
            nodes.remove(found)
        elif found is None or change.pop("again", None):
            nodes.append(change)
        else:
            merge(found, change)
