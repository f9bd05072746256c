"""What one token, one request and one layer take in the KV cache.

Per GPU, by kind of layer. How an engine lays the pieces out stands in `cache_blocks.py` (pages of
blocks, vLLM) and `cache_tokens.py` (one pool of tokens, SGLang).
"""

from dataclasses import dataclass, replace
from math import ceil

from krm_fn.catalog.shape import Attention, Layer, Mla, ModelShape, StateSpace
from krm_fn.planner.cache_spec import ELEMENT_BYTES, CacheSpec, Kind
from krm_fn.planner.cache_states import state_spec
from krm_fn.planner.limits import CacheRules, EngineLimits
from krm_fn.planner.plan import Parallelism, Serving
from krm_fn.planner.storage import loaded_itemsize

__all__ = ["CacheSpec", "bytes_per_token", "cache_dtype", "cache_specs", "element_bytes"]

SCALE_BYTES = {
    "nvfp4": 1 / 16,
    "fp4_e2m1": 1 / 16,
}
"""Bytes of scales per element: one byte per 16 (vllm/v1/kv_cache_interface.py, 0.33)."""
HEAD_SCALE_BYTES = {"int8_per_token_head": 4, "fp8_per_token_head": 4}
"""One float32 scale per token and head for K and for V (kv_cache_interface.py, 0.33)."""
LATENT_BYTES = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}
"""Fixed layouts of DeepSeek's sparse attention: 512 fp8 + 4 float32 scales + 64 bfloat16
(vllm/model_executor/layers/attention/mla_attention.py, 0.33)."""
COMPRESSED_BYTES, OVERLAPPING_RATIO = 584, 4
"""DeepSeek V4: an entry as fp8, the ratio whose compressor overlaps (models/deepseek_v4, 0.32)."""
INDEX_SCALE_BYTES, INDEX_GROUP = 4, 128
"""The indexer keeps fp8 keys and one float32 per 128 (132 B for a key of 128)."""


def element_bytes(dtype: str, shape: ModelShape, serving: Serving) -> float:
    """Bytes of one cached element; `auto` = the dtype the model runs in, 16 bits for a checkpoint
    of 32 unless stated.
    """
    if dtype == "auto":
        return float(loaded_itemsize(shape.dtype, serving.dtype))
    return ELEMENT_BYTES[dtype]


def cache_dtype(shape: ModelShape, serving: Serving, engine: EngineLimits) -> str:
    """The KV dtype in effect: stated, else what the checkpoint asks for, else the model's.

    Sparse latent attention stores the engine's own fp8 layout where fp8 is asked for, compressed
    entries (DeepSeek V4) always (vllm/model_executor/models/config.py:DeepseekV32ForCausalLM,
    vllm/models/deepseek_v4/attention.py, 0.33).
    """
    stated = serving.kv_cache_dtype
    if shape.architecture in engine.cache.fixed_dtypes:
        return "auto"
    if stated == "auto" and shape.quantization and shape.quantization.kv_cache_dtype:
        stated = shape.quantization.kv_cache_dtype
    latent = [x.mixer for x in shape.layers if isinstance(x.mixer, Mla)]
    sparse = stated.startswith("fp8") and any(mixer.index_heads for mixer in latent)
    packed = stated == "auto" and any(mixer.compress_ratio is not None for mixer in latent)
    if engine.sparse_kv_dtype and (sparse or packed):
        return engine.sparse_kv_dtype
    return stated if stated in ELEMENT_BYTES or stated in LATENT_BYTES else "auto"


def local_kv_heads(num_kv_heads: int, tensor: int) -> int:
    """max(1, kv_heads // tp): heads are replicated when there are fewer than GPUs
    (vllm/config/model.py:ModelConfig.get_num_kv_heads, 0.33).
    """
    return max(1, num_kv_heads // tensor)


def head_bytes(dtype: str, size: float, width: int) -> int:
    """Bytes of `width` cached elements of one token and head (K and V together), with scales."""
    scales = SCALE_BYTES.get(dtype, 0) * width + 2 * HEAD_SCALE_BYTES.get(dtype, 0)
    return ceil(width * size + scales)


def attention_spec(mixer: Attention, tensor: int, dtype: str, size: float) -> CacheSpec:
    """K and V: local heads x (head_dim + v_head_dim) x bytes per token and layer.

    Source: vllm/v1/kv_cache_interface.py:AttentionSpec.unpadded_page_size_bytes (0.33).
    """
    heads = local_kv_heads(mixer.num_kv_heads, tensor)
    width = mixer.head_dim + mixer.v_head_dim
    limited: Kind = "window" if mixer.window else "chunk" if mixer.chunk else "full"
    return CacheSpec(
        kind="cross" if mixer.cross else limited,
        token_bytes=heads * head_bytes(dtype, size, width),
        reach=mixer.window or mixer.chunk or 0,
        heads=heads,
        width=width,
    )


def index_keys(mixer: Attention, stored: "Storage") -> tuple[CacheSpec, ...]:
    """The keys of a block-sparse indexer: one head in the model's dtype, on every GPU
    (vllm/models/minimax_m3/common/indexer.py, 0.33).
    """
    if not mixer.index_heads or not mixer.index_head_dim:
        return ()
    keys = int(mixer.index_head_dim * stored.model_size)
    return (CacheSpec(kind="full", token_bytes=keys, width=mixer.index_head_dim),)


def latent_specs(mixer: Mla, dtype: str, size: float) -> tuple[CacheSpec, ...]:
    """One latent of kv_lora_rank + rope per token, the same on every GPU, and the indexer's keys.

    (512 + 64) x 2 B x 61 layers = 70,272 B per token for DeepSeek R1 in bfloat16; 656 B per layer
    as fp8_ds_mla; indexer 128 + 4 B. Source: MLAAttentionSpec, mla_attention.py (0.33).
    """
    width = mixer.kv_lora_rank + mixer.qk_rope_head_dim
    if mixer.compress_ratio is not None:
        return compressed_specs(mixer, dtype, size)
    latent = LATENT_BYTES.get(dtype) or head_bytes(dtype, size, width)
    sparse = bool(mixer.index_heads)
    found = CacheSpec(kind="full", token_bytes=latent, width=width, latent=True, sparse=sparse)
    if not mixer.index_heads or not mixer.index_head_dim or mixer.index_shared:
        return (found,)
    groups = ceil(mixer.index_head_dim / INDEX_GROUP)
    keys = mixer.index_head_dim + INDEX_SCALE_BYTES * groups
    return (found, CacheSpec(kind="full", token_bytes=keys, width=keys, latent=True, sparse=True))


def compressed_specs(mixer: Mla, dtype: str, size: float) -> tuple[CacheSpec, ...]:
    """DeepSeek V4: a window of entries, one entry per `compress_ratio` tokens, and the compressors'
    own states; with an indexer at ratio 4, whose compressor overlaps two groups.

    584 B per entry as fp8 (448 fp8 + 64 bfloat16 + 8 scales), states of 2 x (1 or 2) x head_dim
    float32 per token, pages aligned to 576 B (512 B without fp8). Source:
    vllm/models/deepseek_v4/attention.py, compressor.py (0.32).
    """
    width, ratio = mixer.kv_lora_rank + mixer.qk_rope_head_dim, mixer.compress_ratio or 0
    packed = dtype in LATENT_BYTES
    entry = COMPRESSED_BYTES if packed else head_bytes(dtype, size, width)
    align, twice = 576 if packed else 512, 2 if ratio == OVERLAPPING_RATIO else 1
    window = CacheSpec(
        kind="window",
        token_bytes=entry,
        reach=mixer.window or 0,
        width=width,
        latent=True,
        sparse=True,
        block=64,
        align=align,
    )
    if ratio <= 1:
        return (window,)
    entries = replace(window, kind="full", reach=0, ratio=ratio, block=256)
    states = replace(
        window,
        token_bytes=2 * twice * width * 4,
        reach=twice * ratio,
        block=4 if twice > 1 else 8,
    )
    found = (window, entries, states)
    if not mixer.index_heads or not mixer.index_head_dim:
        return found
    index = mixer.index_head_dim
    keys = replace(entries, token_bytes=index + INDEX_SCALE_BYTES * ceil(index / INDEX_GROUP))
    return (*found, keys, replace(states, token_bytes=2 * twice * index * 4))


def unfolded_spec(mixer: Mla, tensor: int, size: float) -> CacheSpec:
    """Latent attention before its kernels came: whole heads padded to 256, K and V
    (vllm/model_executor/models/deepseek_v2.py, 0.5.4).
    """
    heads = max(1, mixer.num_heads // tensor)
    return CacheSpec(kind="full", token_bytes=int(heads * 512 * size), heads=heads, width=512)


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    """How a model's cache is stored on an engine: dtype, bytes per element, of states, rules."""

    dtype: str
    size: float
    model_size: float
    state_size: float | None
    rules: CacheRules


def storage(shape: ModelShape, serving: Serving, engine: EngineLimits) -> Storage:
    """The dtypes in effect; a state's is the config's, else the engine's for the architecture."""
    dtype = cache_dtype(shape, serving, engine)
    states = (x for name, x in engine.cache.state_dtypes if name in shape.architecture)
    state = next(states, None)
    return Storage(
        dtype=dtype,
        size=0.0 if dtype in LATENT_BYTES else element_bytes(dtype, shape, serving),
        model_size=element_bytes("auto", shape, serving),
        state_size=ELEMENT_BYTES[state] if state else None,
        rules=engine.cache,
    )


def layer_specs(layer: Layer, tensor: int, stored: Storage) -> tuple[CacheSpec, ...]:
    """The caches of one decoder layer: none, one, or more (indexer, parallel state)."""
    mixer, size = layer.mixer, stored.size
    found: tuple[CacheSpec, ...] = ()
    if isinstance(mixer, Attention) and not mixer.shares_kv:
        found = (attention_spec(mixer, tensor, stored.dtype, size), *index_keys(mixer, stored))
    elif isinstance(mixer, Mla):
        whole = (unfolded_spec(mixer, tensor, size),)
        found = latent_specs(mixer, stored.dtype, size) if stored.rules.latent else whole
    elif isinstance(mixer, StateSpace):
        found = (_state(mixer, tensor, stored),)
    return (*found, _state(layer.parallel, tensor, stored)) if layer.parallel else found


def _state(mixer: StateSpace, tensor: int, stored: Storage) -> CacheSpec:
    kept = mixer.kind in stored.rules.checkpoint_kinds
    return state_spec(
        mixer,
        tensor,
        stored.model_size,
        stored.state_size,
        checkpoint=kept,
        drafts=stored.rules.draft_tokens,
    )


def cache_specs(
    shape: ModelShape, parallelism: Parallelism, serving: Serving, engine: EngineLimits
) -> tuple[tuple[CacheSpec, ...], ...]:
    """The caches of each layer in order. Equal layers are one object and are worked out once."""
    stored, tensor = storage(shape, serving, engine), parallelism.attention_tensor
    made = {
        key: layer_specs(layer, tensor, stored)
        for key, layer in {id(layer): layer for layer in shape.layers}.items()
    }
    return tuple(made[id(layer)] for layer in shape.layers)


def bytes_per_token(specs: tuple[tuple[CacheSpec, ...], ...]) -> int:
    """Bytes that one more token takes if every layer whose cache grows counts in full; the windows
    beside compressed entries (DeepSeek V4) do not grow.
    """
    found = (spec for layer in specs for spec in layer if spec.kind != "cross")
    grows = (spec for spec in found if spec.kind == "full" or not spec.block)
    return sum(spec.token_bytes // spec.ratio for spec in grows)
