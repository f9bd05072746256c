"""What the cache of one layer is, in one value for all kinds of layers."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["full", "window", "chunk", "state", "cross"]

ELEMENT_BYTES = {
    "auto": 2.0,
    "half": 2.0,
    "float16": 2.0,
    "bfloat16": 2.0,
    "bf16": 2.0,
    "float": 4.0,
    "float32": 4.0,
    "fp8": 1.0,
    "fp8_e4m3": 1.0,
    "fp8_e5m2": 1.0,
    "fp8_inc": 1.0,
    "fp8_ds_mla": 1.0,
    "int8": 1.0,
    "fp4_e2m1": 0.5,
    "nvfp4": 0.5,
    "int8_per_token_head": 1.0,
    "fp8_per_token_head": 1.0,
}
"""Bytes of one element (PyTorch dtypes; the names are the engines' `--kv-cache-dtype`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSpec:
    """The cache of one layer on one GPU; equal layers are equal values.

    `token_bytes` per token, or `state_bytes` per request for a state. `reach` = window or chunk in
    tokens. `heads`, `width` tell apart layouts of equal size, as the engines do. `ratio` tokens
    share one entry; `block` = its own tokens per block (0 = the model's), `align` of its pages.
    `checkpoints` = states kept beside the aligned ones. `made` = how its bytes come about, in
    figures; no layout depends on it.
    """

    kind: Kind
    token_bytes: int = 0
    state_bytes: int = 0
    reach: int = 0
    heads: int = 1
    width: int = 0
    latent: bool = False
    sparse: bool = False
    ratio: int = 1
    block: int = 0
    align: int = 1
    checkpoints: int = 0
    made: str = field(default="", compare=False)
