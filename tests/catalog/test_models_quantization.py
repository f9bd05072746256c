"""quantization_config -> how weights are stored."""

import pytest

from krm_fn.catalog.architectures.quantization import METHODS, quantization


def packed(bits: int, kind: str, **weights) -> dict:
    return {
        "quant_method": "compressed-tensors",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": bits, "type": kind, "symmetric": True} | weights,
            }
        },
        "ignore": ["lm_head", "re:.*vision.*"],
    }


GROUP = {"strategy": "group", "group_size": 128}
# name: config, bits, group, block, bytes of a scale, zero points
CASES = {
    "fp8 per tensor": ({"quant_method": "fp8"}, 8, None, None, 4, False),
    "fp8 in blocks": (
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        8,
        None,
        (128, 128),
        4,
        False,
    ),
    "awq": (
        {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True},
        4,
        128,
        None,
        2,
        True,
    ),
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 128}, 4, 128, None, 2, True),
    "gptq without groups": (
        {"quant_method": "gptq", "bits": 8, "group_size": -1},
        8,
        None,
        None,
        2,
        True,
    ),
    "auto-round": (
        {"quant_method": "auto-round", "bits": 4, "group_size": 128},
        4,
        128,
        None,
        2,
        True,
    ),
    "w4a16": (packed(4, "int", **GROUP), 4, 128, None, 2, False),
    "w8a8": (packed(8, "int", strategy="channel"), 8, None, None, 2, False),
    "fp8 dynamic": (packed(8, "float", strategy="channel"), 8, None, None, 4, False),
    "nvfp4": (packed(4, "float", strategy="tensor_group", group_size=16), 4, 16, None, 1, False),
    "mxfp4": ({"quant_method": "mxfp4"}, 4, 32, None, 1, False),
    "modelopt nvfp4": ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 4, 16, None, 1, False),
    "modelopt fp8": ({"quantization": {"quant_algo": "FP8"}}, 8, None, None, 4, False),
    "bitsandbytes nf4": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        4,
        64,
        None,
        4,
        False,
    ),
    "bitsandbytes int8": (
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        8,
        None,
        None,
        4,
        False,
    ),
    "quark fp8": (
        {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}},
        8,
        None,
        None,
        4,
        False,
    ),
    "torchao int4": (
        {"quant_method": "torchao", "quant_type": "int4_weight_only"},
        4,
        128,
        None,
        2,
        True,
    ),
    "fbgemm": ({"quant_method": "fbgemm_fp8"}, 8, None, None, 4, False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_layout(case):
    config, bits, group, block, scale, zeros = case
    found, fault = quantization(config)

    assert fault is None
    assert (found.bits, found.group_size, found.block) == (bits, group, block)
    assert (found.scale_bytes, found.zero_points) == (scale, zeros)


def test_what_is_left_out_is_kept():
    found, _ = quantization(packed(4, "int", **GROUP))

    assert found.kept == ("lm_head", "re:.*vision.*")


def test_mixed_groups_become_overrides():
    config = packed(4, "float", strategy="tensor_group", group_size=16)
    config["config_groups"]["group_1"] = {
        "targets": ["re:.*self_attn.*"],
        "weights": {"num_bits": 8, "type": "float", "strategy": "channel"},
    }
    found, _ = quantization(config)

    assert found.bits == 4
    assert [(pattern, other.bits) for pattern, other in found.overrides] == [
        ("re:.*self_attn.*", 8)
    ]


def test_modelopt_mixed_precision_lists_its_layers():
    layers = {"model.layers.0.mlp.up_proj": {"quant_algo": "NVFP4", "group_size": 16}}
    found, _ = quantization({"quant_algo": "MIXED_PRECISION", "quantized_layers": layers})

    assert found.bits == 16
    assert found.overrides[0][1].bits == 4


def test_deepseek_v4_stores_its_experts_in_four_bits():
    found, _ = quantization({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp4")

    assert found.block == (128, 128)
    assert [(name, other.bits, other.group_size) for name, other in found.overrides] == [
        ("experts", 4, 32)
    ]


def test_experts_quantised_again_leave_the_rest_in_fp8():
    layers = {"layers.0.ffn.experts": {"quant_algo": "NVFP4", "group_size": 16}}
    found, _ = quantization({"quant_method": "fp8", "quantized_layers": layers}, "fp4")

    assert found.bits == 8
    assert [other.group_size for _, other in found.overrides] == [16]


def test_the_checkpoint_asks_for_a_cache_dtype():
    found, _ = quantization({"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}})

    assert found.kv_cache_dtype == "fp8"


def test_an_unknown_method_is_said():
    found, fault = quantization({"quant_method": "quip"})

    assert found is None
    assert "quip" in fault


def test_no_quantisation_is_none():
    assert quantization(None) == (None, None)
    assert "quip" not in METHODS
