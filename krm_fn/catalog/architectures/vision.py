"""Parameters of vision towers with their projectors, from `vision_config`.

Sources: the modeling files of transformers 5.19. `v` = vision_config, then the whole config.json,
then the width of the text model.
"""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def _mlp(width: int, inner: int, *, gated: bool = False, bias: bool = True) -> int:
    matrices = (3 if gated else 2) * width * inner
    return matrices + ((2 if gated else 1) * inner + width if bias else 0)


def _attention(width: int, *, bias: bool = True) -> int:
    return 4 * width * width + (4 * width if bias else 0)


def qwen2_vl(v: Json, _: Json, text: int) -> int:
    """Qwen2-VL: LayerNorm blocks of `embed_dim`, ratio 4, patch 14 x 14 x 2; a 2-layer merger."""
    d, depth, out = v["embed_dim"], v["depth"], v.get("hidden_size", text)
    patch = v.get("in_channels", 3) * v["temporal_patch_size"] * v["patch_size"] ** 2
    inner = int(d * v.get("mlp_ratio", 4))
    merged = d * v["spatial_merge_size"] ** 2
    block = 4 * d + _attention(d) + _mlp(d, inner)
    return int(patch * d + depth * block + 2 * d + merged * (merged + 1) + merged * out + out)


def qwen2_5_vl(v: Json, _: Json, text: int) -> int:
    """Qwen2.5-VL: RMSNorm blocks with a gated MLP with bias, patch without bias."""
    d, depth, out = v["hidden_size"], v["depth"], v.get("out_hidden_size", text)
    patch = v.get("in_channels", 3) * v["temporal_patch_size"] * v["patch_size"] ** 2
    merged = d * v["spatial_merge_size"] ** 2
    block = 2 * d + _attention(d) + _mlp(d, v["intermediate_size"], gated=True)
    return int(patch * d + depth * block + d + merged * (merged + 1) + merged * out + out)


def qwen3_vl(v: Json, _: Json, text: int) -> int:
    """Qwen3-VL, Qwen3.5: learned positions, LayerNorm, plain MLP; a merger per deepstack layer."""
    d, depth, out = v["hidden_size"], v["depth"], v.get("out_hidden_size", text)
    patch = v.get("in_channels", 3) * v["temporal_patch_size"] * v["patch_size"] ** 2
    merged = d * v["spatial_merge_size"] ** 2
    block = 4 * d + _attention(d) + _mlp(d, v["intermediate_size"])
    merger = merged * (merged + 1) + merged * out + out
    deep = len(v.get("deepstack_visual_indexes") or ())
    ends = patch * d + d + v.get("num_position_embeddings", 2304) * d
    return int(ends + depth * block + merger + 2 * d + deep * (merger + 2 * merged))


def siglip(v: Json, _: Json, text: int) -> int:
    """SigLIP with Gemma 3's projector (a matrix and a norm)."""
    d, depth, patch = v["hidden_size"], v["num_hidden_layers"], v["patch_size"]
    tokens = (v["image_size"] // patch) ** 2
    block = 4 * d + _attention(d) + _mlp(d, v["intermediate_size"])
    return int(3 * patch**2 * d + d + tokens * d + depth * block + 2 * d + d * text + d)


def _clip_tower(v: Json) -> int:
    """CLIP ViT with class token, pre and post norms."""
    d, depth, patch = v["hidden_size"], v["num_hidden_layers"], v["patch_size"]
    tokens = (v["image_size"] // patch) ** 2 + 1
    block = 4 * d + _attention(d) + _mlp(d, v["intermediate_size"])
    return int(3 * patch**2 * d + d + tokens * d + depth * block + 4 * d)


def _siglip_tower(v: Json) -> int:
    d, depth, patch = v["hidden_size"], v["num_hidden_layers"], v["patch_size"]
    tokens = (v["image_size"] // patch) ** 2
    block = 4 * d + _attention(d) + _mlp(d, v["intermediate_size"])
    return int(3 * patch**2 * d + d + tokens * d + depth * block + 2 * d)


def _siglip_head(v: Json) -> int:
    """SigLIP's pooling head, which checkpoints carry unless `vision_use_head` is false."""
    d = v["hidden_size"]
    head = d + _attention(d) + 2 * d + _mlp(d, v["intermediate_size"])
    return int(head) if v.get("vision_use_head", True) else 0


def llava(v: Json, c: Json, text: int) -> int:
    """LLaVA: a CLIP or SigLIP tower, a two-layer projector; NeXT adds an image-newline vector."""
    is_siglip = "siglip" in str(v.get("model_type"))
    tower = _siglip_tower(v) + _siglip_head(v) if is_siglip else _clip_tower(v)
    layers = c.get("vision_feature_layer", -2)
    d = v["hidden_size"] * (len(layers) if isinstance(layers, list) else 1)
    newline = text if "image_grid_pinpoints" in c else 0
    return int(tower + d * text + text + text * text + text + newline)


def pixtral(v: Json, c: Json, text: int) -> int:
    """Mistral 3: Pixtral blocks without biases, a patch merger and a two-layer projector."""
    d, depth, patch = v["hidden_size"], v["num_hidden_layers"], v["patch_size"]
    block = (
        2 * d + _attention(d, bias=False) + _mlp(d, v["intermediate_size"], gated=True, bias=False)
    )
    merge = c.get("spatial_merge_size", 2)
    return int(3 * patch**2 * d + d + depth * block + d + merge**2 * d * d + d * text + text * text)


def mllama(v: Json, _: Json, text: int) -> int:
    """Llama 3.2 Vision: 32 local and 8 gated global layers, tile and position embeddings."""
    d, inner, patch = v["hidden_size"], v["intermediate_size"], v["patch_size"]
    tokens, tiles = (v["image_size"] // patch) ** 2 + 1, v["max_num_tiles"]
    ratios = len(v.get("supported_aspect_ratios") or range(8)) + 1
    block = 4 * d + _attention(d, bias=False) + _mlp(d, inner)
    layers = v["num_hidden_layers"] * block + v["num_global_layers"] * (block + 2)
    tables = ratios * tiles * d * 2 + 2 + tokens * d + 1 + ratios * tiles * tokens * d
    out = v.get("vision_output_dim", 7680)
    return int(3 * patch**2 * d + d + tables + 4 * d + layers + out * text + text)


def llama4(v: Json, _: Json, text: int) -> int:
    """Llama 4: CLIP-like tower, a pixel-shuffle adapter, one projection."""
    d, depth, patch, inner = (
        v[k] for k in ("hidden_size", "num_hidden_layers", "patch_size", "intermediate_size")
    )
    tokens = (v["image_size"] // patch) ** 2 + 1
    block = 4 * d + _attention(d) + _mlp(d, inner)
    into, out = v["projector_input_dim"], v["projector_output_dim"]
    adapter = inner * into + out * out
    projector = v.get("vision_output_dim", out) * text
    return int(3 * patch**2 * d + d + tokens * d + 4 * d + depth * block + adapter + projector)


def moonvit(v: Json, _: Json, text: int) -> int:
    """Kimi's MoonViT: learned positions, LayerNorm blocks with biases, a merging projector."""
    d = v.get("vt_hidden_size", v.get("hidden_size", 1152))
    depth = v.get("vt_num_hidden_layers", v.get("num_hidden_layers", 27))
    inner = v.get("vt_intermediate_size", v.get("intermediate_size", 4304))
    side = v.get("init_pos_emb_height", 64) * v.get("init_pos_emb_width", 64)
    patch = 3 * v.get("patch_size", 14) ** 2
    merge = v.get("merge_kernel_size", [2, 2])
    merged = d * merge[0] * merge[1]
    block = 4 * d + _attention(d) + _mlp(d, inner)
    projector = 2 * d + merged * (merged + 1) + merged * text + text
    return int(patch * d + d + side * d + depth * block + 2 * d + projector)


def internvit(v: Json, _: Json, text: int) -> int:
    """InternViT and InternVL's projector: a norm, two matrices; pixel shuffle by 2."""
    d, depth = v["hidden_size"], v["num_hidden_layers"]
    patch, size = _one(v["patch_size"]), _one(v["image_size"])
    tokens = (size // patch) ** 2 + 1
    norms = 2 if v.get("norm_type") == "rms_norm" else 4
    qkv_bias = 3 * d if v.get("qkv_bias", v.get("attention_bias")) else 0
    qk_norm = 2 * d if v.get("qk_normalization", v.get("use_qk_norm")) else 0
    attention = 4 * d * d + qkv_bias + d + qk_norm
    block = norms * d + attention + _mlp(d, v["intermediate_size"]) + 2 * d
    wide = 4 * d
    projector = 2 * wide + wide * text + text + text * text + text
    return int(3 * patch**2 * d + d + d + tokens * d + depth * block + projector)


def _one(value: int | list[int]) -> int:
    return value[0] if isinstance(value, list) else value


def gemma4(v: Json, _: Json, text: int) -> int:
    """Gemma 4's tower: gated MLP, RMSNorm before and after, per-head norms, 2-axis positions."""
    d, depth, inner = v["hidden_size"], v["num_hidden_layers"], v["intermediate_size"]
    dim = v.get("head_dim", 64)
    heads, kv = v["num_attention_heads"], v.get("num_key_value_heads", v["num_attention_heads"])
    attention = d * dim * (2 * heads + 2 * kv) + 2 * dim
    block = 4 * d + attention + 3 * d * inner
    patch = 3 * v["patch_size"] ** 2 * d
    return int(patch + 2 * v.get("position_embedding_size", 10240) * d + depth * block + d * text)


def dots(v: Json, _: Json, text: int) -> int:
    """dots.ocr: RMSNorm blocks, gated MLP, no biases; a 2 x 2 merger."""
    d, inner = v["embed_dim"], v["intermediate_size"]
    block = 2 * d + 4 * d * d + 3 * d * inner
    merged = 4 * d
    merger = 2 * d + merged * (merged + 1) + merged * text + text
    patch = 3 * v["patch_size"] ** 2 * d + 2 * d
    return int(patch + v["num_hidden_layers"] * block + d + merger)
