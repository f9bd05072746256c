"""The mock: llm-d-inference-sim, vLLM-shaped, CPU only, with the latencies of a plan.

Facts: v0.10.2, `--help` and runs of the program (tests/data/llm-d-inference-sim-v0.10.2-help.txt).
"""

import json
from typing import Any

from krm_fn.engines.base import Probe, Server
from krm_fn.engines.launch import Engine, Launch, load_metrics
from krm_fn.planner.extras import Lora
from krm_fn.planner.host import SharedMemory
from krm_fn.planner.load import mock_latencies
from krm_fn.units import MIB

NAME = "mock"
NEWEST = "0.10.2"
IMAGE = "ghcr.io/llm-d/llm-d-inference-sim"
BLOCK_SIZES = (8, 16, 32, 64, 128)
"""The only block sizes that the program takes."""
CONFIG = "config.json"
OWNED = {
    "--config": "spec (its file is the plan)",
    "--model": "spec.model.id",
    "--served-model-name": "spec.model.servedName",
    "--port": "spec.service.port",
}
NOBODY = 65532
"""The image's own user (distroless nonroot)."""


def server(launch: Launch) -> Server:
    """A static Go binary as nonroot with a read-only root; its settings are a mounted file."""
    return Server(
        engine=NAME,
        version=launch.version,
        image=launch.image,
        command=(),
        args=_args(launch),
        env=(
            ("NVIDIA_VISIBLE_DEVICES", "void"),  # else a node's runtime shows it every GPU
            *launch.env.items(),
        ),
        secret_env=launch.own_secrets,
        field_env=(("POD_IP", "status.podIP"),),  # --enable-kvcache asks for it
        startup=Probe(path="/health", period_seconds=2, timeout_seconds=2, failure_threshold=30),
        readiness=Probe(
            path="/health/ready", period_seconds=5, timeout_seconds=2, failure_threshold=3
        ),
        liveness=Probe(path="/health", period_seconds=10, timeout_seconds=5, failure_threshold=6),
        metrics=load_metrics(
            launch, waiting="vllm:num_requests_waiting", running="vllm:num_requests_running"
        ),
        user=NOBODY if launch.user is not None else None,
        group=NOBODY if launch.user is not None else None,
        read_only_root=True,
        writable=(("tmp", "/tmp", 64 * MIB),),  # noqa: S108  # a path in the container
        cpu_cores=0.25,
        memory_bytes=256 * MIB,
        memory_limit_bytes=1024 * MIB,
        ephemeral_bytes=128 * MIB,
        pre_stop_seconds=launch.host.pre_stop_seconds,
        shutdown_seconds=launch.host.shutdown_seconds,
        startup_seconds=60,
        files=((CONFIG, json.dumps(_config(launch), indent=2) + "\n"),),
    )


def _args(launch: Launch) -> tuple[str, ...]:
    """Identity on the command line, figures of the plan in the file."""
    return (
        f"--config=/etc/krm-fn/{CONFIG}",
        f"--model={launch.model}",
        f"--served-model-name={launch.served_name}",
        "--port=8000",
        *launch.extra_args,
    )


def _config(launch: Launch) -> dict[str, Any]:
    """The plan as the simulator reads it; durations as Go writes them."""
    plan, serving = launch.plan, launch.plan.serving
    latencies = mock_latencies(launch.question, plan.parallelism, serving, plan.memory)
    block = min(BLOCK_SIZES, key=lambda size: abs(size - plan.memory.block_size))
    blocks = plan.memory.kv_cache_blocks * plan.memory.block_size // block
    return {
        "max-model-len": serving.max_model_len,
        "max-num-seqs": serving.max_num_seqs,
        "mode": "random",
        "force-dummy-tokenizer": True,
        "latency-calculator": "per-token",
        "prefill-overhead": _duration(latencies.prefill_overhead_seconds),
        "prefill-time-per-token": _duration(latencies.prefill_seconds_per_token),
        "inter-token-latency": _duration(latencies.itl_seconds),
        "time-factor-under-load": round(latencies.time_factor_under_load, 2),
        "enable-kvcache": True,
        "kv-cache-size": max(1, blocks),
        "block-size": block,
        **_adapters(launch.question.extras.lora),
    }


def _adapters(lora: Lora | None) -> dict[str, Any]:
    """Names that clients may ask for; each is a text of JSON."""
    if lora is None:
        return {}
    names = [json.dumps({"name": name}) for name, _ in lora.adapters]
    return {"max-loras": lora.max_loras, "max-cpu-loras": lora.loaded, "lora-modules": names}


def _duration(seconds: float) -> str:
    """In microseconds; below ten in nanoseconds, for a small model's token is no 0us."""
    micro = seconds * 1e6
    return f"{round(micro * 1e3)}ns" if 0 < micro < 10 else f"{round(micro)}us"


ENGINE = Engine(
    name=NAME,
    newest=NEWEST,
    planned=False,
    limits=None,
    server=server,
    image=IMAGE,
    owned=OWNED,
    shared_memory=SharedMemory(base_bytes=0, per_gpu_bytes=0, source="no GPU, one process"),
)
