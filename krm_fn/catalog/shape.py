"""The shape of a model: what its `config.json` says, in one vocabulary for all architectures.

Frozen values only. `architecture.py` makes them from a config.json; the planner reads them. Layers
stand in their order, because pipeline stages and hybrid groups depend on it; equal layers share one
object.
"""

from dataclasses import dataclass
from typing import Literal

StateKind = Literal["gdn", "kda", "mamba1", "mamba2", "lightning", "short_conv"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """Softmax attention with one K and one V vector per token and KV head.

    `window` = sliding window in tokens, `chunk` = chunked local attention (Llama 4), both None =
    full. `output_gate` doubles the query projection (Qwen3-Next). `cross` = keys and values come
    from an encoder and do not grow with the text. `shares_kv` = reads the cache of an earlier
    layer, has no K/V weights or cache of its own (Gemma 3n, Gemma 4). `k_eq_v` = no V projection,
    the cache holds K and V all the same. `head_gate` = one gate per head (Step 3.5). `index_heads`,
    `index_head_dim` = a block-sparse indexer beside the cache (MiniMax M3).
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    v_head_dim: int
    window: int | None = None
    chunk: int | None = None
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False
    qk_norm_per_head: bool = True
    output_gate: bool = False
    sinks: bool = False
    cross: bool = False
    shares_kv: bool = False
    k_eq_v: bool = False
    head_gate: bool = False
    index_heads: int | None = None
    index_head_dim: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mla:
    """Multi-head latent attention: one latent of `kv_lora_rank` + `qk_rope_head_dim` per token.

    `index_heads`, `index_head_dim`, `index_topk`: the sparse-attention indexer (DeepSeek V3.2,
    GLM-5), None without one. `index_shared` = reuses an earlier layer's choice: no indexer weights
    or cache of its own (GLM-5.2). DeepSeek V4: `compress_ratio` tokens share one cache entry (0 =
    only the window), beside `window` uncompressed tokens; `o_groups` x `o_lora_rank` = its factored
    output projection; `kv_lora_rank` + `qk_rope_head_dim` = its head_dim. `output_gate` (Kimi K3).
    """

    num_heads: int
    kv_lora_rank: int
    qk_rope_head_dim: int
    qk_nope_head_dim: int
    v_head_dim: int
    q_lora_rank: int | None = None
    index_heads: int | None = None
    index_head_dim: int | None = None
    index_topk: int | None = None
    index_shared: bool = False
    window: int | None = None
    compress_ratio: int | None = None
    o_groups: int = 0
    o_lora_rank: int = 0
    output_gate: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StateSpace:
    """A layer whose cache is a state of fixed size: Mamba, gated delta net, KDA, linear attention.

    gdn/kda/lightning: `num_k_heads` x `k_head_dim` keys, `num_v_heads` x `v_head_dim` values.
    mamba2: `num_v_heads` heads of `v_head_dim`, `k_head_dim` = state size, `num_k_heads` = groups.
    mamba1: `num_v_heads` = intermediate size, `v_head_dim` = 1, `k_head_dim` = state size.
    `state_dtype` None = the model's. `dt_rank`: mamba1 only. `gated_norm`: mamba2's norm of the
    inner size. `full_rank_gate`: KDA of Kimi K3.
    """

    kind: StateKind
    num_k_heads: int
    num_v_heads: int
    k_head_dim: int
    v_head_dim: int
    conv_kernel: int
    state_dtype: str | None = None
    conv_bias: bool = False
    proj_bias: bool = False
    gated_norm: bool = True
    dt_rank: int = 0
    full_rank_gate: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Dense:
    """A feed-forward block: gated = three matrices (gate, up, down), else two."""

    intermediate_size: int
    gated: bool = True
    bias: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Moe:
    """Routed experts, and shared ones of `shared_intermediate_size` in total.

    `dense_intermediate_size`: a dense block beside the experts in the same layer (0 = none).
    `router_float32`: engines keep the router in 32 bits, whatever the files hold.
    """

    num_experts: int
    experts_per_token: int
    intermediate_size: int
    shared_intermediate_size: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    router_float32: bool = False
    gated: bool = True
    bias: bool = False
    dense_intermediate_size: int = 0
    latent_size: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One decoder layer. `norms` = number of norm vectors of the hidden size in it.

    `parallel`: a state-space mixer beside the attention in the same layer (Falcon-H1).
    `other_parameters`: replicated small ones, such as hyper-connections.
    """

    mixer: Attention | Mla | StateSpace | None
    ffn: Dense | Moe | None
    norms: int = 2
    parallel: StateSpace | None = None
    other_parameters: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """How the checkpoint stores its weights, from `quantization_config`.

    `bits` per quantised weight, `group_size` elements or `block` (rows, columns) per scale, both
    None = per channel or tensor. `kept` = names or patterns of modules left in the model's dtype;
    `overrides` = patterns of modules with another layout. `method` names the engine's loader.
    """

    method: str
    bits: float
    group_size: int | None = None
    block: tuple[int, int] | None = None
    scale_bytes: int = 2
    zero_points: bool = False
    kept: tuple[str, ...] = ()
    activations: str | None = None
    kv_cache_dtype: str | None = None
    desc_act: bool = False
    overrides: tuple[tuple[str, "Quantization"], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """Everything the planner asks of a model.

    `encoder_parameters`: vision or audio tower and projector, in the model's dtype;
    `encoder_parts` = (what is cut, how many of it), `encoder_whole` = every GPU has a copy.
    `mtp_layers`: draft layers inside the checkpoint (DeepSeek MTP), loaded only when used.
    `task`: "generate", or "embed" for pooling models. `causal` False: every token sees all others.
    `parameters` may be None when the layers do not determine it. `unknown` names what in the config
    was not understood; never silently dropped.
    `rope_caches`: (positions, dimensions) of each distinct rotary table that an engine keeps.
    `lm_head` False: a model without output head. `per_layer_input`: width of Gemma's per-layer
    embeddings. `other_parameters`: pooler and the like, replicated, in the model's dtype.
    """

    architecture: str
    model_type: str | None
    hidden_size: int
    vocab_size: int
    layers: tuple[Layer, ...]
    max_position_embeddings: int
    dtype: str
    tie_word_embeddings: bool
    rope_dims: int = 0
    rope_caches: tuple[tuple[int, int], ...] = ()
    lm_head: bool = True
    lm_head_bias: bool = False
    final_norms: int = 1
    embedding_norms: int = 0
    per_layer_input: int = 0
    per_layer_vocab: int = 0
    other_parameters: int = 0
    position_embeddings: int = 0
    encoder_parameters: int = 0
    encoder_parts: tuple[tuple[str, int], ...] = ()
    encoder_whole: bool = False
    encoder_tokens: int = 0
    mtp_layers: int = 0
    task: Literal["generate", "embed"] = "generate"
    causal: bool = True
    quantization: Quantization | None = None
    unknown: tuple[str, ...] = ()

    @property
    def is_moe(self) -> bool:
        return any(isinstance(layer.ffn, Moe) for layer in self.layers)

    @property
    def is_mla(self) -> bool:
        return any(isinstance(layer.mixer, Mla) for layer in self.layers)

    @property
    def has_states(self) -> bool:
        mixers = ((layer.mixer, layer.parallel) for layer in self.layers)
        return any(isinstance(mixer, StateSpace) for pair in mixers for mixer in pair)

    @property
    def attention_layers(self) -> tuple[Attention, ...]:
        return tuple(x.mixer for x in self.layers if isinstance(x.mixer, Attention))
