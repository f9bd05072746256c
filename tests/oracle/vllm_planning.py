"""vLLM's own answer to how much a KV cache holds, from a config.json alone, on a CPU.

    ENGINE/bin/python vllm_planning.py [--capability 9.0] [--jobs 2] < cases.jsonl > answers.jsonl

ENGINE is what `.ci/engine` makes. A case is a JSON object, one a line: `config` (a config.json) and
what is stated: `tp`, `available` (bytes for the cache on a GPU), `kv_cache_dtype`, `dtype`,
`max_model_len`, `max_num_batched_tokens`, `prefix_caching`, `stated_block_size` (null: vLLM's).
The answers come in the order of the cases: `num_blocks`, `block_size`, `tokens`, `max_concurrency`
and `bytes_per_block` as vLLM logs or allocates them, `weight_bytes` and `rotary_bytes` (tables) of
the first GPU as the model's class makes them, `attention_backends`; or `error`.

vLLM's classes are built with all tensors on the meta device, their layers are asked for their
caches, and these go to the functions whose numbers the server logs.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import traceback
from pathlib import Path
from types import SimpleNamespace

os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    VLLM_LOGGING_LEVEL="ERROR",
    VLLM_NO_USAGE_STATS="1",
    VLLM_USE_DEEP_GEMM="0",
)

import pretend
import torch

META = torch.device("meta")


def load(capability):
    """Imports vLLM once, for all cases; each then runs in a process of its own."""
    pretend.h100(capability)
    import vllm.utils.deep_gemm

    vllm.utils.deep_gemm.has_deep_gemm = lambda: True
    import vllm.v1.core.kv_cache_utils
    import vllm.v1.worker.gpu_model_runner
    from vllm.model_executor.models import registry
    from vllm.v1.worker import workspace

    def inspected(model):
        return registry._ModelInfo.from_model_cls(model.load_model_cls())

    registry._LazyRegisteredModel.inspect_model_cls = inspected
    workspace.init_workspace_manager(META)
    pretend.packages()


def arguments(case, folder):
    """The flags of `vllm serve` that the case states."""
    found = {
        "model": folder,
        "tokenizer": folder,
        "skip_tokenizer_init": True,
        "load_format": "dummy",
        "tensor_parallel_size": case["tp"],
        "distributed_executor_backend": "mp" if case["tp"] > 1 else None,
        "max_model_len": case["max_model_len"],
        "max_num_batched_tokens": case["max_num_batched_tokens"],
        "kv_cache_dtype": case["kv_cache_dtype"],
        "dtype": case["dtype"],
        "enable_prefix_caching": None if case["prefix_caching"] else False,
        "language_model_only": True,
    }
    block = case["stated_block_size"]
    return found | ({"block_size": block} if block else {})


def settings(case, folder):
    """VLLM's own configuration, everything that is not stated resolved."""
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    Path(folder, "config.json").write_text(json.dumps(case["config"]), encoding="utf-8")
    context = UsageContext.OPENAI_API_SERVER
    return EngineArgs(**arguments(case, folder)).create_engine_config(usage_context=context)


def groups(tensor):
    """The process groups that the classes ask for sizes and ranks."""
    from vllm.distributed import parallel_state

    for name in ("_WORLD", "_TP", "_EP"):
        setattr(parallel_state, name, pretend.Group(tensor))
    for name in ("_ETP", "_DCP", "_PP", "_DP", "_PCP", "_EPLB"):
        setattr(parallel_state, name, pretend.Group(1))


def model(config):
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.utils.torch_utils import set_default_torch_dtype

    dtype = set_default_torch_dtype(config.model_config.dtype)
    with dtype, META, pretend.OnMeta():
        return initialize_model(vllm_config=config)


def layer_caches(config):
    """Layer -> what its cache is, and the names of the attention kernels."""
    from vllm.config import get_layers_from_vllm_config
    from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
    from vllm.v1.attention.backends import utils
    from vllm.v1.core.single_type_kv_cache_manager import register_all_kvcache_specs
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    runner = SimpleNamespace(vllm_config=config, shared_kv_cache_layers={})
    specs = GPUModelRunner.get_kv_cache_spec(runner)
    register_all_kvcache_specs(config)
    layers = get_layers_from_vllm_config(config, AttentionLayerBase)
    kernels = {layer.get_attn_backend() for name, layer in layers.items() if name in specs}
    layouts = [layout.name for layout in utils.get_supported_kv_cache_layouts(kernels)]
    utils.resolve_kv_cache_layout(config, [layouts], list(specs.values()))
    return specs, sorted(kernel.get_name() for kernel in kernels)


def parameter_bytes(built):
    """Each parameter once; a tied one is the same object."""
    found = {id(p): p.numel() * p.element_size() for p in built.parameters()}
    return sum(found.values())


def rotary_bytes(built):
    """Tables of cosines and sines, which the layers share."""
    tables = (b for name, b in built.named_buffers() if "cos_sin_cache" in name)
    return sum(table.numel() * table.element_size() for table in tables)


def answer(case, folder):
    from vllm.config import set_current_vllm_config
    from vllm.platforms import current_platform
    from vllm.v1.core import kv_cache_utils as planning

    config = settings(case, folder)
    groups(case["tp"])
    with set_current_vllm_config(config):
        built = model(config)
        current_platform.update_block_size_for_backend(config)
        specs, kernels = layer_caches(config)
    (cut,) = planning.get_kv_cache_configs(config, [specs], [case["available"]])
    whole = planning.generate_scheduler_kv_cache_config([cut])
    tokens, concurrency = planning.get_kv_cache_capacity(config, whole)
    return {
        "num_blocks": cut.num_blocks,
        "block_size": config.cache_config.block_size,
        "tokens": tokens,
        "max_concurrency": round(concurrency, 4),
        "bytes_per_block": planning._pool_bytes_per_block(config, cut.kv_cache_groups),
        "attention_backends": kernels,
        "weight_bytes": parameter_bytes(built),
        "rotary_bytes": rotary_bytes(built),
    }


def told(case):
    """The answer, or why there is none."""
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        try:
            return answer(case, folder)
        except Exception as fault:
            if os.environ.get("ORACLE_TRACE"):
                traceback.print_exc()
            return {"error": f"{type(fault).__name__}: {fault}"}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--capability", default="9.0", help="of the GPUs that vLLM believes in")
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time")
    options = parser.parse_args()
    cases = [json.loads(line) for line in sys.stdin if line.strip()]
    load(tuple(int(part) for part in options.capability.split(".")))
    fork = multiprocessing.get_context("fork")
    with fork.Pool(options.jobs, maxtasksperchild=1) as pool:
        for found in pool.imap(told, cases):
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
