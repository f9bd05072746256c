"""`quantization_config` of a config.json -> how each weight is stored."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from krm_fn.catalog.shape import Quantization

Json = Mapping[str, Any]

FP8_SCALE, E8M0_SCALE, NVFP4_SCALE = 4, 1, 1


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in value or ())


def _fp8(config: Json) -> Quantization:
    block = config.get("weight_block_size")
    kept = config.get("modules_to_not_convert") or config.get("ignored_layers")
    return Quantization(
        method="fp8",
        bits=8,
        block=(int(block[0]), int(block[1])) if block else None,
        scale_bytes=FP8_SCALE,
        kept=_names(kept),
        activations="fp8",
    )


def _fp8_with_experts(config: Json) -> Quantization:
    """An FP8 checkpoint whose experts were quantised again (DeepSeek V4 NVFP4)."""
    return replace(_fp8(config), overrides=_listed_layers(config))


_META_KEEPS = ("re:.*self_attn.*", "lm_head", "model.layers.0", "model.layers.125")


def _fbgemm(config: Json) -> Quantization:
    """Meta's own FP8 of the 405B: attention, the first and the last layer stay in 16 bit, also
    where the list is left out (vllm-0200, -0201: 56.77 GiB on each of 8).
    """
    kept = _names(config.get("modules_to_not_convert")) or _META_KEEPS
    return Quantization(
        method="fbgemm_fp8", bits=8, scale_bytes=FP8_SCALE, kept=kept, activations="fp8"
    )


def _grouped(method: str) -> Callable[[Json], Quantization]:
    """AWQ, GPTQ, AutoRound: integers in groups along the input, a 16-bit scale and a zero each."""

    def quantization(config: Json) -> Quantization:
        group = int(config.get("group_size", config.get("q_group_size", 128)))
        return Quantization(
            method=method,
            bits=float(config.get("bits", config.get("w_bit", 4))),
            group_size=group if group > 0 else None,
            zero_points=bool(config.get("zero_point", method != "awq"))
            if method == "awq"
            else True,
            kept=_names(config.get("modules_to_not_convert")),
            desc_act=bool(config.get("desc_act")),
        )

    return quantization


def _mxfp4(config: Json) -> Quantization:
    kept = _names(config.get("modules_to_not_convert"))
    return Quantization(method="mxfp4", bits=4, group_size=32, scale_bytes=E8M0_SCALE, kept=kept)


def _scheme(weights: Json, activations: Json | None, method: str) -> Quantization | None:
    """One group of compressed-tensors: {num_bits, type, strategy, group_size}."""
    if not weights:
        return None
    bits, kind = float(weights.get("num_bits", 8)), weights.get("type", "int")
    group, block = weights.get("group_size"), weights.get("block_structure")
    block = block if weights.get("strategy") == "block" else None
    grouped = bool(group) and weights.get("strategy", "group") in ("group", "tensor_group")
    fine = kind == "float" and bits <= 4
    scale = E8M0_SCALE if fine else (FP8_SCALE if kind == "float" else 2)
    return Quantization(
        method=method,
        bits=bits,
        group_size=int(group) if grouped and group and int(group) > 0 else None,
        block=(int(block[0]), int(block[1])) if block else None,
        scale_bytes=scale,
        zero_points=not weights.get("symmetric", True),
        activations=_activation(activations),
    )


def _activation(activations: Json | None) -> str | None:
    if not activations:
        return None
    bits = int(activations.get("num_bits", 8))
    return f"{'fp' if activations.get('type') == 'float' else 'int'}{bits}"


def _kv(scheme: Any) -> str | None:
    """The cache's dtype that the checkpoint asks for."""
    if not scheme:
        return None
    text = scheme if isinstance(scheme, str) else f"{scheme.get('type')}{scheme.get('num_bits')}"
    return "fp8" if text.upper() in ("FP8", "FLOAT8") else text.lower()


def _with_groups(config: Json, method: str) -> Quantization | None:
    """compressed-tensors: the widest group is the layout, the others are overrides by target."""
    groups = [
        (scheme, _names(group.get("targets") or ("Linear",)))
        for group in (config.get("config_groups") or {}).values()
        if (scheme := _scheme(group.get("weights"), group.get("input_activations"), method))
    ]
    if not groups:
        return None
    main = next((scheme for scheme, targets in groups if "Linear" in targets), None)
    overrides = [
        (target, scheme) for scheme, targets in groups if scheme != main for target in targets
    ]
    kept = _names(config.get("ignore") or config.get("exclude_modules"))
    base = main or Quantization(method=method, bits=16)
    return _replaced(base, kept, tuple(overrides), _kv(config.get("kv_cache_scheme")))


def _replaced(
    base: Quantization,
    kept: tuple[str, ...],
    overrides: tuple[tuple[str, Quantization], ...],
    kv: str | None,
) -> Quantization:
    return replace(base, kept=kept, overrides=overrides, kv_cache_dtype=kv)


def _compressed_tensors(config: Json) -> Quantization | None:
    return _with_groups(config, "compressed-tensors")


# modelopt's quant_algo -> bits, group, bytes of a scale, activations
ALGORITHMS: Mapping[str, tuple[float, int | None, int, str | None]] = {
    "FP8": (8, None, FP8_SCALE, "fp8"),
    "FP8_PER_CHANNEL_PER_TOKEN": (8, None, FP8_SCALE, "fp8"),
    "FP8_PB_WO": (8, None, FP8_SCALE, "fp8"),
    "MXFP8": (8, 32, E8M0_SCALE, "fp8"),
    "NVFP4": (4, 16, NVFP4_SCALE, "fp4"),
    "W4A16_NVFP4": (4, 16, NVFP4_SCALE, None),
    "NVFP4_AWQ": (4, 16, NVFP4_SCALE, "fp4"),
    "MXFP4": (4, 32, E8M0_SCALE, None),
    "W4A16_AWQ": (4, 128, 2, None),
    "INT4_AWQ": (4, 128, 2, None),
    "W4A8_AWQ": (4, 128, 2, "fp8"),
    "INT8_SQ": (8, None, 4, "int8"),
}


def _algorithm(name: str, group: int | None = None) -> Quantization:
    bits, usual, scale, activations = ALGORITHMS[name.upper()]
    return Quantization(
        method="modelopt",
        bits=bits,
        group_size=int(group or usual) if usual else None,
        block=(128, 128) if name.upper() == "FP8_PB_WO" else None,
        scale_bytes=scale,
        activations=activations,
    )


def _listed_layers(config: Json) -> tuple[tuple[str, Quantization], ...]:
    """MIXED_PRECISION: the algorithm of each module that is named."""
    return tuple(
        (name, _algorithm(str(layer["quant_algo"]), layer.get("group_size")))
        for name, layer in (config.get("quantized_layers") or {}).items()
    )


def _modelopt(config: Json) -> Quantization | None:
    """hf_quant_config.json's `quantization`, or the same keys inside config.json."""
    inner = config.get("quantization", config)
    algo = str(inner.get("quant_algo", "")).upper()
    kept = _names(inner.get("exclude_modules") or config.get("ignore"))
    kv = _kv(inner.get("kv_cache_quant_algo") or config.get("kv_cache_scheme"))
    if algo in ALGORITHMS:
        return _replaced(_algorithm(algo, inner.get("group_size")), kept, (), kv)
    overrides = _listed_layers(inner)
    if overrides:
        return _replaced(Quantization(method="modelopt", bits=16), kept, overrides, kv)
    return _with_groups(config, "modelopt")


def _bitsandbytes(config: Json) -> Quantization:
    """nf4/fp4: an absmax per 64 elements, itself 8 bit when double quantised; int8 per row."""
    kept = _names(config.get("llm_int8_skip_modules"))
    if config.get("load_in_8bit"):
        return Quantization(method="bitsandbytes", bits=8, scale_bytes=4, kept=kept)
    double = config.get("bnb_4bit_use_double_quant")
    return Quantization(
        method="bitsandbytes", bits=4, group_size=64, scale_bytes=1 if double else 4, kept=kept
    )


_QUARK = {
    "fp4": (4.0, E8M0_SCALE),
    "fp8_e4m3": (8.0, FP8_SCALE),
    "fp8": (8.0, FP8_SCALE),
    "int8": (8.0, 4),
    "int4": (4.0, 2),
    "mxfp4": (4.0, E8M0_SCALE),
}


def _quark(config: Json) -> Quantization | None:
    weight = (config.get("global_quant_config") or {}).get("weight") or {}
    weight = weight[0] if isinstance(weight, list) else weight
    if weight.get("dtype") not in _QUARK:
        return None
    bits, scale = _QUARK[weight["dtype"]]
    group = weight.get("group_size") if weight.get("qscheme") == "per_group" else None
    return Quantization(
        method="quark",
        bits=bits,
        group_size=int(group) if group else None,
        scale_bytes=scale,
        kept=_names(config.get("exclude")),
    )


def _torchao(config: Json) -> Quantization | None:
    text = str(config.get("quant_type", "")).lower()
    if "int4" in text:
        return Quantization(method="torchao", bits=4, group_size=128, zero_points=True)
    known = "float8" in text or "int8" in text
    return Quantization(method="torchao", bits=8, scale_bytes=4) if known else None


METHODS: Mapping[str, Callable[[Json], Quantization | None]] = {
    "fp8": _fp8_with_experts,
    "fbgemm_fp8": _fbgemm,
    "awq": _grouped("awq"),
    "awq_marlin": _grouped("awq"),
    "gptq": _grouped("gptq"),
    "gptq_marlin": _grouped("gptq"),
    "auto-round": _grouped("auto-round"),
    "auto_round": _grouped("auto-round"),
    "intel/auto-round": _grouped("auto-round"),
    "compressed-tensors": _compressed_tensors,
    "mxfp4": _mxfp4,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "modelopt_mixed": _modelopt,
    "bitsandbytes": _bitsandbytes,
    "quark": _quark,
    "torchao": _torchao,
}


# DeepSeek V4: experts in MXFP4 beside FP8; `expert_dtype: fp4` is a key of the model
_FP4_EXPERTS = ("experts", _mxfp4({}))


def quantization(
    config: Json | None, expert_dtype: str | None = None
) -> tuple[Quantization | None, str | None]:
    """The layout, or a remark where the file names a method that is not understood."""
    if not config:
        return None, None
    algorithmic = "quant_algo" in config or "quantization" in config
    method = str(config.get("quant_method", "modelopt" if algorithmic else "")).lower()
    found = METHODS[method](config) if method in METHODS else None
    if found is None:
        return None, f'quantization_config: method "{method}" is not understood; counted as 16 bit'
    mixed = expert_dtype == "fp4" and not found.overrides
    return replace(found, overrides=(_FP4_EXPERTS,)) if mixed else found, None
