"""Models, GPUs and questions that the memory tests share."""

from dataclasses import replace

from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.gpus import gpu
from krm_fn.engines import sglang_memory, vllm_memory
from krm_fn.planner.plan import Parallelism, PoolShape, Question, Serving, Stated, Workload
from krm_fn.units import GIB

ENGINES = {"vllm": vllm_memory.limits, "sglang": sglang_memory.limits}


def dense(architecture, hidden, inner, layers, heads, kv_heads, vocab, positions=131072, **more):
    return {
        "architectures": [f"{architecture}ForCausalLM"],
        "model_type": architecture.lower(),
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
    } | more


LLAMA_2_7B = dense("Llama", 4096, 11008, 32, 32, 32, 32000, 4096)
LLAMA_3_8B = dense("Llama", 4096, 14336, 32, 32, 8, 128256)
LLAMA_3_70B = dense("Llama", 8192, 28672, 80, 64, 8, 128256)
LLAMA_405B = dense("Llama", 16384, 53248, 126, 128, 8, 128256)
MISTRAL_7B = dense("Mistral", 4096, 14336, 32, 32, 8, 32000, 32768)
QWEN25_7B = dense("Qwen2", 3584, 18944, 28, 28, 4, 152064, 32768, use_sliding_window=False)
QWEN3_8B = dense("Qwen3", 4096, 12288, 36, 32, 8, 151936, 40960, head_dim=128)
QWEN25_3B = dense(
    "Qwen2",
    2048,
    11008,
    36,
    16,
    2,
    151936,
    32768,
    tie_word_embeddings=True,
    use_sliding_window=False,
)
GEMMA_7B = dense(
    "Gemma", 3072, 24576, 28, 16, 16, 256000, 8192, head_dim=256, tie_word_embeddings=True
)
QWEN3_30B = dense(
    "Qwen3Moe",
    2048,
    6144,
    48,
    32,
    4,
    151936,
    40960,
    head_dim=128,
    num_experts=128,
    num_experts_per_tok=8,
    moe_intermediate_size=768,
    model_type="qwen3_moe",
)
DEEPSEEK_R1 = dense(
    "DeepseekV3",
    7168,
    18432,
    61,
    128,
    128,
    129280,
    163840,
    kv_lora_rank=512,
    q_lora_rank=1536,
    qk_rope_head_dim=64,
    qk_nope_head_dim=128,
    v_head_dim=128,
    moe_intermediate_size=2048,
    n_routed_experts=256,
    num_experts_per_tok=8,
    n_shared_experts=1,
    first_k_dense_replace=3,
    model_type="deepseek_v3",
)
QWEN3_32B = dense("Qwen3", 5120, 25600, 64, 64, 8, 151936, 40960, head_dim=128)
PHI_4 = dense("Phi3", 5120, 17920, 40, 40, 10, 100352, 16384)
MIXTRAL_8X7B = dense(
    "Mixtral", 4096, 14336, 32, 32, 8, 32000, 32768, num_local_experts=8, num_experts_per_tok=2
)
DEEPSEEK_V2_LITE = dense(
    "DeepseekV2",
    2048,
    10944,
    27,
    16,
    16,
    102400,
    163840,
    kv_lora_rank=512,
    q_lora_rank=None,
    qk_rope_head_dim=64,
    qk_nope_head_dim=128,
    v_head_dim=128,
    moe_intermediate_size=1408,
    n_routed_experts=64,
    num_experts_per_tok=6,
    n_shared_experts=2,
    first_k_dense_replace=1,
    model_type="deepseek_v2",
)
QWEN35_27B = dense(
    "Qwen3_5",
    5120,
    17408,
    64,
    24,
    4,
    248320,
    262144,
    head_dim=256,
    layer_types=(["linear_attention"] * 3 + ["full_attention"]) * 16,
    linear_num_key_heads=16,
    linear_num_value_heads=48,
    linear_key_head_dim=128,
    linear_value_head_dim=128,
    linear_conv_kernel_dim=4,
    mamba_ssm_dtype="float32",
    model_type="qwen3_5_text",
)
GEMMA_3_12B = dense(
    "Gemma3",
    3840,
    15360,
    48,
    16,
    8,
    262208,
    head_dim=256,
    sliding_window=1024,
    layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 8,
    tie_word_embeddings=True,
    model_type="gemma3_text",
)
GPT_OSS_20B = dense(
    "GptOss",
    2880,
    2880,
    24,
    64,
    8,
    201088,
    head_dim=64,
    sliding_window=128,
    layer_types=["sliding_attention", "full_attention"] * 12,
    num_local_experts=32,
    num_experts_per_tok=4,
    model_type="gpt_oss",
    quantization_config={
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
    },
)


def question(config, engine="vllm", version="0.19.0", board="h100", memory_gib=None, **rules):
    """A question about a config.json on a board; `rules` replace fields of the cache rules."""
    card = gpu(board)
    limits = ENGINES[engine](version)
    if rules:
        limits = replace(limits, cache=replace(limits.cache, **rules))
    total = int(memory_gib * GIB) if memory_gib else card.memory_bytes
    return Question(
        service="test",
        variant=engine,
        model_id="test",
        shape=model_shape(config),
        pool=PoolShape(
            gpu=card,
            gpu_memory_bytes=total,
            gpus_per_node=8,
            nodes=1,
            share=8,
            interconnect="nvlink",
        ),
        workload=Workload(),
        stated=Stated(),
        engine=limits,
    )


def serving(length=8192, seqs=1024, batched=8192, fraction=0.95, **more):
    return Serving(
        max_model_len=length,
        max_num_seqs=seqs,
        max_num_batched_tokens=batched,
        memory_fraction=fraction,
        **more,
    )


def tp(size, **more):
    return Parallelism(tensor=size, **more)
