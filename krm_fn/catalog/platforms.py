"""Where GPU pods go on each platform: node selectors and tolerations, data to data.

Explicit input wins: a stated label replaces the platform's, stated taints replace the usual ones.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import Field

from krm_fn.catalog.gpus import is_shared
from krm_fn.catalog.rows import Gpu, Row
from krm_fn.errors import Result, error, warning
from krm_fn.krm.yaml import load

Names = Annotated[tuple[str, ...], Field(strict=False)]
_MARK = "\n- name: "
_ARCH = "kubernetes.io/arch"


class Platform(Row):
    """One platform; the keys are explained at the top of platforms.yaml."""

    name: str
    product: dict[str, str]
    optional: dict[str, str] = Field(default_factory=dict)
    amd_product: dict[str, str] = Field(default_factory=dict)
    fallback: dict[str, str] = Field(default_factory=dict)
    pool: str
    pool_replaces_product: bool = False
    pool_required: bool = False
    spot: dict[str, str] = Field(default_factory=dict)
    spot_taint: dict[str, str] | None = None
    arm_taint: dict[str, str] | None = None
    gpu_taints: Names
    amd_taints: Names = ("amd.com/gpu",)
    partition: str | None = None
    sharing: dict[str, str] = Field(default_factory=dict)
    required: Names = ()
    source: str
    notes: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What a functionConfig says of the nodes. `taints` None = the platform's usual, () = none."""

    platform: str
    gpu: Gpu
    node_pool: str | None = None
    spot: bool = False
    node_selector: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str | None], ...] | None = None


@cache
def platform(name: str) -> Platform:
    """The row of a platform that `platform_names()` lists."""
    rows: list[dict[str, Any]] = load(_texts()[name], source="platforms.yaml")
    return Platform.model_validate(rows[0])


def platform_names() -> tuple[str, ...]:
    return tuple(_texts())


def node_selector(at: Placement) -> dict[str, str]:
    """Labels that a node must have: product or pool, MIG, spot, architecture; then those stated.

    A CPU architecture is always selected: images exist for both and a wrong one fails late.
    """
    row = platform(at.platform)
    chosen = _product_labels(at) | _pool_label(at)
    if not chosen and at.gpu.vendor == "nvidia":
        chosen = dict(row.fallback)
    spot = row.spot if at.spot else {}
    return {**chosen, **_slice_labels(at), **spot, _ARCH: at.gpu.cpu, **at.node_selector}


def tolerations(at: Placement) -> tuple[dict[str, str], ...]:
    """Tolerations of the stated taints, or of the platform's usual ones; spot adds its own."""
    row = platform(at.platform)
    stated = at.taints
    found = _usual_tolerations(row, at.gpu) if stated is None else map(_toleration, stated)
    spot = [row.spot_taint] if at.spot and row.spot_taint else []
    return tuple(_distinct([*found, *map(_toleration, spot)]))


def placement_faults(at: Placement, path: str = "spec.gpuPool") -> tuple[Result, ...]:
    """What cannot be selected on the platform, and what is selected too loosely."""
    return tuple(_faults(at, platform(at.platform), path))


def _faults(at: Placement, row: Platform, path: str) -> Iterable[Result]:
    if row.pool_required and not (at.node_pool or at.node_selector):
        yield error(
            f"must be stated: the platform '{row.name}' selects nodes by the label `{row.pool}`",
            f"{path}.nodePool",
        )
    if (missing := _missing(at, row)) and not at.node_selector:
        yield error(
            f"no name of {at.gpu.name} on {row.name} is known: state `{path}.nodeSelector` "
            f"(label {', '.join(missing)}) or a `{path}.nodePool`",
            f"{path}.gpu",
            current=at.gpu.name,
        )
    if row.notes and not (at.node_pool or at.node_selector):
        yield warning(row.notes, path)
    if at.spot and not row.spot and not (at.node_pool or at.node_selector):
        yield warning(
            f"the platform '{row.name}' has no label for spot nodes: state `{path}.nodeSelector`, "
            f"and `{path}.taints` if they are tainted",
            f"{path}.spot",
        )


def _missing(at: Placement, row: Platform) -> tuple[str, ...]:
    """Product labels whose value is not known for this GPU."""
    if at.node_pool:
        return ()
    labels = row.product if at.gpu.vendor == "nvidia" else row.amd_product
    if at.gpu.vendor == "amd" and row.required and not labels:
        return tuple(row.product)
    return tuple(
        key for key, name in labels.items() if name in row.required and name not in at.gpu.labels
    )


def _product_labels(at: Placement) -> dict[str, str]:
    row, gpu = platform(at.platform), at.gpu
    if at.node_pool and row.pool_replaces_product:
        return {}
    labels = row.product if gpu.vendor == "nvidia" else row.amd_product
    known = {
        key: gpu.labels.get(name, gpu.name)
        for key, name in labels.items()
        if name not in row.required or name in gpu.labels
    }
    extra = {key: gpu.labels[name] for key, name in row.optional.items() if name in gpu.labels}
    return known | (extra if known else {})


def _pool_label(at: Placement) -> dict[str, str]:
    return {platform(at.platform).pool: at.node_pool} if at.node_pool else {}


def _slice_labels(at: Placement) -> dict[str, str]:
    row = platform(at.platform)
    slices = {row.partition: at.gpu.mig} if row.partition and at.gpu.mig else {}
    return slices | (row.sharing if is_shared(at.gpu.name) else {})


def _usual_tolerations(row: Platform, gpu: Gpu) -> list[dict[str, str]]:
    keys = row.gpu_taints if gpu.vendor == "nvidia" else row.amd_taints
    arm = [_toleration(row.arm_taint)] if row.arm_taint and gpu.cpu == "arm64" else []
    usual = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in keys]
    return usual + arm


def _toleration(taint: Mapping[str, str | None]) -> dict[str, str]:
    """The toleration of exactly this taint; without a value or an effect, of all of its key."""
    value = taint.get("value")
    operator = {"operator": "Exists"} if value is None else {"operator": "Equal", "value": value}
    effect = taint.get("effect")
    return {"key": str(taint["key"]), **operator, **({"effect": effect} if effect else {})}


def _distinct(items: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return [dict(pairs) for pairs in dict.fromkeys(tuple(item.items()) for item in items)]


@cache
def _texts() -> dict[str, str]:
    """Platform -> the text of its row."""
    text = (files("krm_fn.catalog") / "platforms.yaml").read_text(encoding="utf-8")
    rows = (part for part in text.split(_MARK)[1:])
    return {row.split("\n", 1)[0]: f"- name: {row}" for row in rows}
