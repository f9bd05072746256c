"""Rows of the catalogue, and at the same time the inline forms of a functionConfig.

pydantic, frozen and strict, so that a user's own GPU is checked like ours. Quantities and rates are
strings with units.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from krm_fn.units import QUANTITY, RATE, quantity_bytes, rate_bytes


def _checked_quantity(text: str) -> str:
    quantity_bytes(text)
    return text


def _checked_rate(text: str) -> str:
    rate_bytes(text)
    return text


Quantity = Annotated[
    str,
    AfterValidator(_checked_quantity),
    Field(json_schema_extra={"pattern": f"^{QUANTITY}$"}),
]
Rate = Annotated[
    str, AfterValidator(_checked_rate), Field(json_schema_extra={"pattern": f"^{RATE}$"})
]


class Row(BaseModel):
    """A frozen, strict row; unknown keys are faults."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        defer_build=True,  # only rows that are read are built
    )


class Flops(Row):
    """Dense peak rates in TFLOPS (TOPS for int8), FP32 accumulate; None = not supported."""

    bf16: float | None = None
    fp16: float | None = None
    fp8: float | None = None
    fp4: float | None = None
    int8: float | None = None


class Gpu(Row):
    """One accelerator board. Silicon only: no engine flag, price or taint.

    `memory` = total that CUDA (HIP) reports, which the engine's fraction is of; `nvml_memory` =
    what the driver tools print. `link` = NVLink/XGMI rate per GPU in one direction, None = PCIe.
    `mig_profiles` = profile to the most instances of it on one board. `labels` = product label per
    platform where it differs from `name`. A slice of a board and a shared one have `parent` (the
    board's name), a slice has `mig` (its profile) and, where the device plugin names it so, a
    `resource_name` of its own.
    """

    name: str
    aliases: Annotated[tuple[str, ...], Field(strict=False)] = ()
    vendor: Literal["nvidia", "amd"] = "nvidia"
    architecture: str
    compute_capability: str
    memory: Quantity
    nvml_memory: Quantity | None = None
    bandwidth: Rate
    flops: Flops
    link: Rate | None = None
    form: Literal["sxm", "pcie", "superchip", "integrated"] = "pcie"
    bridge: bool = False
    pcie: int = 4
    cpu: Literal["amd64", "arm64"] = "amd64"
    mig_profiles: dict[str, int] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    source: str
    confidence: Literal["high", "medium", "low"] = "medium"
    notes: str | None = None
    parent: str | None = None
    mig: str | None = None
    resource_name: str | None = None

    @property
    def memory_bytes(self) -> int:
        return quantity_bytes(self.memory)

    @property
    def bandwidth_bytes(self) -> float:
        """Bytes per second."""
        return rate_bytes(self.bandwidth)

    @property
    def link_bytes(self) -> float | None:
        """Bytes per second in one direction; None without NVLink or XGMI."""
        return rate_bytes(self.link) if self.link else None

    @property
    def capability(self) -> tuple[int, int]:
        """CUDA compute capability as numbers; AMD's gfx targets are strings and give (0, 0)."""
        major, _, minor = self.compute_capability.partition(".")
        return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)

    @property
    def resource(self) -> str:
        """The extended resource that the vendor's device plugin offers."""
        plain = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}[self.vendor]
        return self.resource_name or plain
