"""Hand-made services and variants: what `function` would hand to a target."""

from dataclasses import replace

from krm_fn.engines.base import Metric, Probe, Server
from krm_fn.resources.autoscaling import Scaling
from krm_fn.resources.pod import Placement, Toleration
from krm_fn.resources.prefetch import Prefetch
from krm_fn.resources.storage import Cache
from krm_fn.resources.workload import Rollout
from krm_fn.targets import Service, Variant

GIB = 2**30


def probe(path="/health", period=10, timeout=5, failures=3):
    return Probe(
        path=path, period_seconds=period, timeout_seconds=timeout, failure_threshold=failures
    )


MOCK_SERVER = Server(
    engine="mock",
    version="v0.10.2",
    image="ghcr.io/llm-d/llm-d-inference-sim:v0.10.2",
    command=("/app/llm-d-inference-sim",),
    args=("--config", "/etc/krm-fn/config.yaml"),
    env=(("NVIDIA_VISIBLE_DEVICES", "void"),),
    field_env=(("POD_IP", "status.podIP"),),
    startup=probe(period=1, failures=60),
    readiness=probe("/health/ready", period=5, timeout=2),
    liveness=probe(),
    user=65532,
    group=65532,
    read_only_root=True,
    writable=(("tmp", "/tmp", 64 * 2**20),),
    cpu_cores=0.5,
    memory_bytes=256 * 2**20,
    memory_limit_bytes=512 * 2**20,
    pre_stop_seconds=5,
    startup_seconds=60,
    files=(("config.yaml", "port: 8000\nmodel: llama\n"),),
)

VLLM_SERVER = Server(
    engine="vllm",
    version="v0.33.0",
    image="vllm/vllm-openai:v0.33.0",
    command=("vllm", "serve"),
    args=("Qwen/Qwen3-8B", "--served-model-name=qwen3-8b", "--tensor-parallel-size=2"),
    env=(("HF_HOME", "/models/hf"), ("HOME", "/home/vllm"), ("USER", "vllm")),
    secret_env=(("HF_TOKEN", "hf-token", "HF_TOKEN", False),),
    startup=probe(failures=180),
    readiness=probe(period=5, timeout=2),
    liveness=probe(failures=6),
    metrics=(
        Metric(name="vllm:num_requests_waiting", target=4, because="queue"),
        Metric(name="vllm:num_requests_running", target=96, because="batch"),
    ),
    gpus=2,
    user=2000,
    group=0,
    writable=(("cache", "/cache", 10 * GIB), ("home", "/home/vllm", None), ("tmp", "/tmp", None)),
    cache_path="/models",
    cache_bytes=50 * GIB,
    shared_memory_bytes=8 * GIB,
    cpu_cores=8,
    memory_bytes=96 * GIB,
    memory_limit_bytes=96 * GIB,
    ephemeral_bytes=20 * GIB,
    shutdown_seconds=120,
    startup_seconds=1800,
    pod_labels=(("llm-d.ai/inference-serving", "true"), ("llm-d.ai/engine-type", "vllm")),
)

SGLANG_SERVER = replace(
    VLLM_SERVER,
    engine="sglang",
    version="v0.5.23",
    image="lmsysorg/sglang:v0.5.23",
    command=("python3", "-m", "sglang.launch_server"),
    args=("--model-path=Qwen/Qwen3-8B", "--tensor-parallel-size=2"),
    env=(("HF_HOME", "/models/hf"), ("HOME", "/root")),
    startup=probe(timeout=25, failures=180),
    readiness=probe("/ready", period=5, timeout=3),
    liveness=probe(period=30, timeout=25, failures=4),
    metrics=(Metric(name="sglang:num_queue_reqs", target=4, because="queue"),),
    user=None,
    group=None,
    writable=(("cache", "/cache", 10 * GIB), ("home", "/root", None), ("tmp", "/tmp", None)),
    shared_memory_bytes=16 * GIB,
    pod_labels=(("llm-d.ai/inference-serving", "true"), ("llm-d.ai/engine-type", "sglang")),
)

PLACEMENT = Placement(
    node_selector={
        "cloud.google.com/gke-accelerator": "nvidia-h100-80gb",
        "kubernetes.io/arch": "amd64",
    },
    tolerations=(Toleration(key="nvidia.com/gpu"),),
    spread=True,
)
SCALING = Scaling(owner="hpa", min_replicas=2, max_replicas=6, metrics="prometheus-adapter")
FIXED_POOL = Rollout(max_surge=0, max_unavailable=1)
PREFETCH = Prefetch(
    command=("hf", "download", "Qwen/Qwen3-8B"),
    marker="/models/complete-0123abcd",
    env=(("HF_HOME", "/models/hf"),),
    secret_env=(("HF_TOKEN", "hf-token", "HF_TOKEN", False),),
)

MOCK = Variant(name="mock", server=MOCK_SERVER, scaling=Scaling(max_replicas=3))
VLLM = Variant(
    name="vllm", server=VLLM_SERVER, placement=PLACEMENT, scaling=SCALING, rollout=FIXED_POOL
)
SGLANG = replace(VLLM, name="sglang", server=SGLANG_SERVER)
VARIANTS = (MOCK, VLLM, SGLANG)

CLAIM = Cache(kind="claim", storage_class="fast", size_bytes=100 * GIB)
SHARED = replace(CLAIM, access_mode="ReadWriteMany")
EPHEMERAL = replace(CLAIM, kind="ephemeral")
SERVICE = Service(name="qwen3-8b", served_model_name="qwen3-8b", cache=EPHEMERAL)
