"""SGLang's server: flags, environment, probes and drain by version.

Facts: SGLang wheels 0.4.9 to 0.5.23 (`srt/server_args.py`, `srt/entrypoints/http_server.py`).
"""

from krm_fn.engines import sglang_extras, versions
from krm_fn.engines.base import Probe, Server
from krm_fn.engines.launch import Engine, Launch, gpu_server, load_metrics
from krm_fn.engines.sglang_memory import limits
from krm_fn.planner.host import SharedMemory
from krm_fn.units import GIB

NAME = "sglang"
HEALTH = "/health"
READY_SINCE = "0.5.21"
OWNED = {
    "--model-path": "spec.model.id",
    "--model": "spec.model.id",
    "--served-model-name": "spec.model.servedName",
    "--revision": "spec.model.revision",
    "--trust-remote-code": "spec.model.trustRemoteCode",
    "--host": "the Service",
    "--port": "spec.service.port",
    "--tensor-parallel-size": "spec.serving.tensorParallelSize",
    "--tp-size": "spec.serving.tensorParallelSize",
    "--tp": "spec.serving.tensorParallelSize",
    "--pipeline-parallel-size": "spec.serving.pipelineParallelSize",
    "--pp-size": "spec.serving.pipelineParallelSize",
    "--data-parallel-size": "spec.serving.dataParallelSize",
    "--dp-size": "spec.serving.dataParallelSize",
    "--enable-dp-attention": "spec.serving.attentionDataParallelSize",
    "--ep-size": "spec.serving.expertParallelSize",
    "--expert-parallel-size": "spec.serving.expertParallelSize",
    "--mem-fraction-static": "spec.serving.memoryFraction",
    "--context-length": "spec.serving.maxModelLen",
    "--max-running-requests": "spec.serving.maxNumSeqs",
    "--chunked-prefill-size": "spec.serving.maxNumBatchedTokens",
    "--kv-cache-dtype": "spec.serving.kvCacheDtype",
    "--dtype": "spec.serving.dtype",
    "--quantization": "spec.serving.quantization",
    "--disable-cuda-graph": "spec.serving.enforceEager",
    "--enable-metrics": "the HPA",
    "--disable-radix-cache": "spec.serving.prefixCaching",
    "--language-model-only": "spec.serving.multimodal.textOnly",
    "--limit-mm-data-per-request": "spec.serving.multimodal.limits",
    "--enable-lora": "spec.serving.lora",
    "--max-loras-per-batch": "spec.serving.lora.maxLoras",
    "--max-lora-rank": "spec.serving.lora.maxRank",
    "--lora-target-modules": "spec.serving.lora",
    "--lora-paths": "spec.serving.lora.adapters",
    "--enable-hierarchical-cache": "spec.serving.kvOffload",
    "--hicache-size": "spec.serving.kvOffload.size",
    "--hicache-ratio": "spec.serving.kvOffload.size",
}
KV_CACHE_DTYPES = {"fp8": "fp8_e4m3"}
"""Names of the functionConfig that SGLang calls otherwise."""
HOME = "/home/sglang"


def server(launch: Launch) -> Server:
    """`python3 -m sglang.launch_server`; as the image's own user (root) until a uid is stated."""
    user = launch.user if launch.user_stated else None
    home = "/root" if user is None else HOME
    return gpu_server(
        launch,
        engine=NAME,
        command=("python3", "-m", "sglang.launch_server"),
        args=_args(launch),
        env=_env(launch, home),
        probes=(
            # the port is closed while the model loads, so a failed probe takes no time
            _generating(period=10, failures=launch.host.startup_seconds // 10),
            _readiness(launch),
            _generating(period=30, failures=4),
        ),
        metrics=load_metrics(
            launch, waiting="sglang:num_queue_reqs", running="sglang:num_running_reqs"
        ),
        user=user,
        home=home,
    )


def _args(launch: Launch) -> tuple[str, ...]:
    plan, serving = launch.plan, launch.plan.serving
    kv_cache_dtype = KV_CACHE_DTYPES.get(serving.kv_cache_dtype, serving.kv_cache_dtype)
    fixed = [
        f"--model-path={launch.model}",
        f"--served-model-name={launch.served_name}",
        "--host=0.0.0.0",
        "--port=8000",
        f"--tensor-parallel-size={plan.parallelism.tensor}",
        f"--context-length={serving.max_model_len}",
        f"--mem-fraction-static={serving.memory_fraction:g}",
        f"--max-running-requests={serving.max_num_seqs}",
        *_prefill_args(launch),
        f"--kv-cache-dtype={kv_cache_dtype}",
        "--enable-metrics",  # metrics are off without it
    ]
    extras = sglang_extras.args(launch.question.extras, plan.gpus_per_replica)
    return (*fixed, *_optional_args(launch), *extras, *launch.extra_args)


def _prefill_args(launch: Launch) -> tuple[str, ...]:
    """Prompts in chunks; those of an encoder whole and never reused, on kernels without a mask.

    docs.sglang.io/supported_models/rerank_models.html; layers/attention/triton_backend.py knows
    ENCODER_ONLY in 0.4.9-0.5.23, flashattention_backend.py only since 0.5.4.
    """
    tokens = launch.plan.serving.max_num_batched_tokens
    if launch.question.shape.causal:
        return (f"--chunked-prefill-size={tokens}",)
    own = {
        "--max-prefill-tokens": f"--max-prefill-tokens={tokens}",
        "--attention-backend": "--attention-backend=triton",
    }
    stated = {text.partition("=")[0] for text in launch.extra_args}
    reused = launch.question.extras.prefix_caching is not False  # else it is off already
    return (
        "--chunked-prefill-size=-1",
        *(text for flag, text in own.items() if flag not in stated),
        *(["--disable-radix-cache"] if reused else []),
    )


def _optional_args(launch: Launch) -> list[str]:
    layout, serving = launch.plan.parallelism, launch.plan.serving
    wanted = {
        f"--revision={launch.revision}": launch.revision and not launch.local,
        f"--pp-size={layout.pipeline}": layout.pipeline > 1,
        f"--ep-size={layout.expert}": layout.expert > 1,
        f"--dtype={serving.dtype}": serving.dtype != "auto",
        f"--quantization={serving.quantization}": serving.quantization,
        "--is-embedding": launch.question.shape.task == "embed",
        "--trust-remote-code": launch.trust_remote_code,
    }
    flags = [flag for flag, on in wanted.items() if on]
    return [*flags, *_eager_args(launch), *_data_parallel_args(launch)]


def _eager_args(launch: Launch) -> tuple[str, ...]:
    """No CUDA graphs; the flag got a new name per phase."""
    if not launch.plan.serving.enforce_eager:
        return ()
    phases = ("--cuda-graph-backend-decode", "--cuda-graph-backend-prefill")
    known = [flag for flag in phases if versions.has_flag(NAME, launch.version, flag)]
    return tuple(f"{flag}=disabled" for flag in known) or ("--disable-cuda-graph",)


def _data_parallel_args(launch: Launch) -> list[str]:
    """Copies of the engine, or data-parallel attention inside the tensor-parallel group."""
    layout = launch.plan.parallelism
    if layout.attention_data > 1:
        return [f"--dp-size={layout.attention_data}", "--enable-dp-attention"]
    return [f"--dp-size={layout.data}"] if layout.data > 1 else []


def _env(launch: Launch, home: str) -> tuple[tuple[str, str], ...]:
    own = {
        "HOME": home,
        "USER": "sglang",
        "XDG_CACHE_HOME": "/cache",
        "TRITON_CACHE_DIR": "/cache/triton",
        "TORCHINDUCTOR_CACHE_DIR": "/cache/inductor",
    }
    if not launch.local:
        own |= {"HF_HOME": "/models/hf"}
    if launch.local or launch.offline:
        own |= {"HF_HUB_OFFLINE": "1"}
    return tuple((own | dict(launch.env)).items())


def _generating(period: int, failures: int) -> Probe:
    """`/health` generates a token and takes 1 to 20 s (SGLANG_HEALTH_CHECK_TIMEOUT)."""
    return Probe(path=HEALTH, period_seconds=period, timeout_seconds=25, failure_threshold=failures)


def _readiness(launch: Launch) -> Probe:
    """`/ready` does not generate; older versions only have `/health`."""
    if versions.at_least(launch.version, READY_SINCE):
        return Probe(path="/ready", period_seconds=5, timeout_seconds=3, failure_threshold=3)
    return Probe(path=HEALTH, period_seconds=15, timeout_seconds=25, failure_threshold=3)


ENGINE = Engine(
    name=NAME,
    newest=versions.newest(NAME),
    planned=True,
    limits=limits,
    server=server,
    shared_memory=SharedMemory(
        base_bytes=0, per_gpu_bytes=4 * GIB, source="SGLang README: --shm-size 32g for 8 GPUs"
    ),
    restricted=False,
    owned=OWNED,
    needs=sglang_extras.NEEDS,
    lora=sglang_extras.lora_rules,
    offload=sglang_extras.offload_rules,
    draft=sglang_extras.draft_rules,
    drafts_with_lora=False,  # server_args.py: "LoRA is only compatible with NGRAM", 0.5.14
)
