"""vLLM's OpenAI server: flags, environment, probes and drain by version.

Facts: vLLM sdists 0.9 to 0.33 (`docker/Dockerfile`, `vllm/engine/arg_utils.py`, `vllm/envs.py`).
"""

from krm_fn.engines import versions, vllm_extras
from krm_fn.engines.base import Probe, Server
from krm_fn.engines.launch import Engine, Launch, gpu_server, load_metrics
from krm_fn.engines.vllm_memory import limits
from krm_fn.planner.host import SharedMemory
from krm_fn.units import GIB

NAME = "vllm"
HEALTH = "/health"
HOME = "/home/vllm"
OWNED = {
    "--model": "spec.model.id",
    "--served-model-name": "spec.model.servedName",
    "--revision": "spec.model.revision",
    "--trust-remote-code": "spec.model.trustRemoteCode",
    "--host": "the Service",
    "--port": "spec.service.port",
    "--tensor-parallel-size": "spec.serving.tensorParallelSize",
    "-tp": "spec.serving.tensorParallelSize",
    "--pipeline-parallel-size": "spec.serving.pipelineParallelSize",
    "-pp": "spec.serving.pipelineParallelSize",
    "--data-parallel-size": "spec.serving.dataParallelSize",
    "-dp": "spec.serving.dataParallelSize",
    "--enable-expert-parallel": "spec.serving.expertParallelSize",
    "--gpu-memory-utilization": "spec.serving.memoryFraction",
    "--max-model-len": "spec.serving.maxModelLen",
    "--max-num-seqs": "spec.serving.maxNumSeqs",
    "--max-num-batched-tokens": "spec.serving.maxNumBatchedTokens",
    "--kv-cache-dtype": "spec.serving.kvCacheDtype",
    "--dtype": "spec.serving.dtype",
    "--quantization": "spec.serving.quantization",
    "-q": "spec.serving.quantization",
    "--enforce-eager": "spec.serving.enforceEager",
    "--enable-prefix-caching": "spec.serving.prefixCaching",
    "--language-model-only": "spec.serving.multimodal.textOnly",
    "--limit-mm-per-prompt": "spec.serving.multimodal.limits",
    "--enable-lora": "spec.serving.lora",
    "--max-loras": "spec.serving.lora.maxLoras",
    "--max-lora-rank": "spec.serving.lora.maxRank",
    "--max-cpu-loras": "spec.serving.lora.adapters",
    "--lora-modules": "spec.serving.lora.adapters",
    "--kv-offloading-size": "spec.serving.kvOffload.size",
    "--kv-offloading-backend": "spec.serving.kvOffload",
    "--shutdown-timeout": "the planned answer length",
}


def server(launch: Launch) -> Server:
    """`vllm serve MODEL ...` as uid 2000."""
    return gpu_server(
        launch,
        engine=NAME,
        command=("vllm", "serve"),  # stated: the images' entry point changed after 0.10
        args=_args(launch),
        env=_env(launch),
        probes=_probes(launch),
        metrics=load_metrics(
            launch, waiting="vllm:num_requests_waiting", running="vllm:num_requests_running"
        ),
        user=launch.user,
        home=HOME,
    )


def _probes(launch: Launch) -> tuple[Probe, Probe, Probe]:
    """`/health` answers as soon as the port is open, which is after the model is loaded.

    A busy engine answers late: 90 s of silence before it is killed.
    """
    startup = launch.host.startup_seconds // 10
    return (
        Probe(path=HEALTH, period_seconds=10, timeout_seconds=5, failure_threshold=startup),
        Probe(path=HEALTH, period_seconds=5, timeout_seconds=2, failure_threshold=3),
        Probe(path=HEALTH, period_seconds=15, timeout_seconds=10, failure_threshold=6),
    )


def _args(launch: Launch) -> tuple[str, ...]:
    """One element per token; the model first, as `vllm serve` wants it in every version."""
    plan, serving = launch.plan, launch.plan.serving
    layout = plan.parallelism
    fixed = [
        launch.model,
        f"--served-model-name={launch.served_name}",
        "--host=0.0.0.0",
        "--port=8000",
        f"--tensor-parallel-size={layout.tensor}",
        f"--gpu-memory-utilization={serving.memory_fraction:g}",
        f"--max-model-len={serving.max_model_len}",
        f"--max-num-seqs={serving.max_num_seqs}",
        f"--max-num-batched-tokens={serving.max_num_batched_tokens}",
        f"--kv-cache-dtype={serving.kv_cache_dtype}",
    ]
    extras = vllm_extras.args(launch.question.extras, layout.data)
    return (*fixed, *_optional_args(launch), *_version_args(launch), *extras, *launch.extra_args)


def _optional_args(launch: Launch) -> list[str]:
    layout, serving = launch.plan.parallelism, launch.plan.serving
    wanted = {
        f"--revision={launch.revision}": launch.revision and not launch.local,
        f"--pipeline-parallel-size={layout.pipeline}": layout.pipeline > 1,
        f"--data-parallel-size={layout.data}": layout.data > 1,
        "--enable-expert-parallel": layout.expert > 1,
        f"--dtype={serving.dtype}": serving.dtype != "auto",
        f"--quantization={serving.quantization}": serving.quantization,
        "--enforce-eager": serving.enforce_eager,
        "--trust-remote-code": launch.trust_remote_code,
    }
    return [flag for flag, on in wanted.items() if on]


def _version_args(launch: Launch) -> list[str]:
    """Flags that only some versions have; each is left out where the version lacks it."""
    pooling = launch.question.shape.task == "embed"
    wanted = {
        "--runner": "--runner=pooling" if pooling else None,
        "--task": "--task=embed" if pooling and not _has(launch, "--runner") else None,
        "--disable-access-log-for-endpoints": (
            "--disable-access-log-for-endpoints=/health,/metrics,/ping"
        ),
        "--shutdown-timeout": f"--shutdown-timeout={launch.host.shutdown_seconds}",
    }
    return [text for flag, text in wanted.items() if text and _has(launch, flag)]


def _has(launch: Launch, flag: str) -> bool:
    return versions.has_flag(NAME, launch.version, flag)


def _env(launch: Launch) -> tuple[tuple[str, str], ...]:
    own = {
        "HOME": HOME,
        "USER": "vllm",
        "VLLM_CACHE_ROOT": "/cache/vllm",
        "TRITON_CACHE_DIR": "/cache/triton",
        "TORCHINDUCTOR_CACHE_DIR": "/cache/inductor",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if not launch.local:
        own |= {"HF_HOME": "/models/hf"}
    if launch.local or launch.offline:
        own |= {"HF_HUB_OFFLINE": "1"}
    if versions.has_env(NAME, launch.version, "VLLM_ENGINE_READY_TIMEOUT_S"):
        own |= {"VLLM_ENGINE_READY_TIMEOUT_S": str(launch.host.startup_seconds)}
    return tuple((own | dict(launch.env)).items())


ENGINE = Engine(
    name=NAME,
    newest=versions.newest(NAME),
    planned=True,
    limits=limits,
    server=server,
    shared_memory=SharedMemory(
        base_bytes=2 * GIB, per_gpu_bytes=2 * GIB, source="llm-d guides: 20Gi for 8 GPUs"
    ),
    owned=OWNED,
    needs=vllm_extras.NEEDS,
    lora=vllm_extras.lora_rules,
    offload=vllm_extras.offload_rules,
    draft=vllm_extras.draft_rules,
)
