"""Questions of the speed tests, built by hand from public config.json values."""

from krm_fn.catalog.rows import Flops, Gpu
from krm_fn.catalog.shape import Attention, Dense, Layer, ModelShape, Moe, Quantization
from krm_fn.planner.limits import EngineLimits
from krm_fn.planner.plan import (
    MemoryBudget,
    Parallelism,
    PoolShape,
    Question,
    Serving,
    Stated,
    Workload,
)

# name: bandwidth GB/s, TFLOPS 16 bit, fp8, fp4, NVLink GB/s in one direction (0 = PCIe), PCIe
DATASHEETS = {
    "L4": (300, 121, 242.5, None, 0, 4),
    "T4": (320, 65, None, None, 0, 3),
    "A10": (600, 125, None, None, 0, 4),
    "L40S": (864, 362, 733, None, 0, 4),
    "3090": (936, 71, None, None, 0, 4),
    "4090": (1008, 165.2, 330.3, None, 0, 4),
    "A100-80": (2039, 312, None, None, 300, 4),
    "H100": (3350, 989, 1979, None, 450, 5),
    "H200": (4800, 989, 1979, None, 450, 5),
    "B200": (7700, 2250, 4500, 9000, 900, 5),
}


LABELS = {
    "L4": "NVIDIA-L4",
    "4090": "NVIDIA-GeForce-RTX-4090",
    "A100-80": "NVIDIA-A100-SXM4-80GB",
    "H100": "NVIDIA-H100-80GB-HBM3",
    "H200": "NVIDIA-H200",
    "B200": "NVIDIA-B200",
}


def gpu(name="H100", bandwidth=None):
    gbs, half, fp8, fp4, link, pcie = DATASHEETS[name]
    return Gpu(
        name=LABELS.get(name, name),
        architecture="test",
        compute_capability="7.5" if name == "T4" else "9.0",
        memory="80Gi",
        bandwidth=f"{bandwidth or gbs}GB/s",
        flops=Flops(bf16=None if name == "T4" else half, fp16=half, fp8=fp8, fp4=fp4),
        link=f"{link}GB/s" if link else None,
        pcie=pcie,
        source="gpu-facts.csv",
    )


def attention(heads=32, kv=32, dim=128, window=None):
    return Attention(num_heads=heads, num_kv_heads=kv, head_dim=dim, v_head_dim=dim, window=window)


def shape(layer, layers, hidden, vocab, quantization=None, task="generate"):
    return ModelShape(
        architecture="LlamaForCausalLM",
        model_type="llama",
        hidden_size=hidden,
        vocab_size=vocab,
        layers=(layer,) * layers,
        max_position_embeddings=131072,
        dtype="bfloat16",
        tie_word_embeddings=False,
        quantization=quantization,
        task=task,
    )


FP8 = Quantization(method="fp8", bits=8)
LLAMA_2_7B = shape(Layer(mixer=attention(), ffn=Dense(intermediate_size=11008)), 32, 4096, 32000)
LLAMA_3_8B = shape(
    Layer(mixer=attention(kv=8), ffn=Dense(intermediate_size=14336)), 32, 4096, 128256
)
_70B = Layer(mixer=attention(64, 8), ffn=Dense(intermediate_size=28672))
LLAMA_70B = shape(_70B, 80, 8192, 128256)
LLAMA_70B_FP8 = shape(_70B, 80, 8192, 128256, FP8)
QWEN3_30B_A3B = shape(
    Layer(
        mixer=attention(32, 4),
        ffn=Moe(num_experts=128, experts_per_token=8, intermediate_size=768),
    ),
    48,
    2048,
    151936,
)


def question(model=LLAMA_3_8B, card="H100", engine="vllm", interconnect=None, **workload):
    card = card if isinstance(card, Gpu) else gpu(card)
    link = interconnect or ("nvlink" if card.link else "pcie")
    return Question(
        service="s",
        variant=engine,
        model_id="m",
        shape=model,
        pool=PoolShape(
            gpu=card,
            gpu_memory_bytes=card.memory_bytes,
            gpus_per_node=8,
            nodes=1,
            share=8,
            interconnect=link,
        ),
        workload=Workload(**workload),
        stated=Stated(),
        engine=limits(engine),
    )


def limits(engine, version="0.19.0"):
    return EngineLimits(
        name=engine,
        version=version,
        memory_basis="total",
        memory_fraction=0.9,
        block_size=16,
        kv_cache_dtypes=("auto",),
    )


def serving(max_num_seqs=256, kv_cache_dtype="auto"):
    return Serving(
        max_model_len=8192,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=8192,
        memory_fraction=0.9,
        kv_cache_dtype=kv_cache_dtype,
    )


def memory(max_concurrency=40.0):
    """`max_concurrency` requests of the 8192 tokens of `serving`: 327,680 tokens unless stated."""
    return MemoryBudget(
        total_bytes=80 * 2**30,
        budget_bytes=72 * 2**30,
        weights_bytes=0,
        activation_bytes=0,
        non_torch_bytes=0,
        cuda_graph_bytes=0,
        kv_cache_bytes=0,
        kv_cache_bytes_per_token=0,
        kv_cache_blocks=0,
        block_size=16,
        kv_cache_tokens=0,
        max_concurrency=max_concurrency,
    )


TP = {n: Parallelism(tensor=n) for n in (1, 2, 4, 8)}
