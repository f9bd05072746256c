"""What the planner needs to know of an engine version; each engine fills one in.

The question is the planner's, so the type stands here; the answers stand in `engines/`.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineLimits:
    """Memory and layout rules of one engine version, as data.

    `memory_basis`: "total" = the fraction is of the GPU's total (vLLM), "free" = of what was free
    before the weights were loaded, and leaves graphs and activations outside (SGLang).
    """

    name: str
    version: str
    memory_basis: Literal["total", "free"]
    memory_fraction: float | None
    block_size: int
    kv_cache_dtypes: tuple[str, ...]
    attention_data_parallel: bool = False
    pipeline_parallel: bool = True
