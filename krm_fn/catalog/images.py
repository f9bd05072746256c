"""Which image runs an engine version on a vendor's GPUs, and on what it can run."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import Field

from krm_fn.catalog.releases import release_key
from krm_fn.catalog.rows import Gpu, Row
from krm_fn.errors import Result, error, warning
from krm_fn.krm.yaml import load

_MARK = "\n- engine: "
_DESKTOP = ("GeForce", "RTX")


class Image(Row):
    """Images of one engine from `since` on; the keys are explained at the top of images.yaml."""

    engine: str
    vendor: Literal["nvidia", "amd"] = "nvidia"
    since: str
    tag: str
    families: dict[str, str] = Field(default_factory=dict)
    cuda: str | None = None
    driver: int | None = None
    driver_compat: int | None = None
    capability: str | None = None
    newest: str | None = None
    cpu: Annotated[tuple[str, ...], Field(strict=False)]
    user: int | None = None
    confirmed_until: str | None = None
    source: str
    confidence: Literal["high", "medium", "low"] = "medium"


def image(engine: str, version: str, vendor: str = "nvidia") -> Image | None:
    """The newest row that is not newer than `version`; None if the engine has none that old."""
    key = release_key(version)
    rows = (row for row in _rows(engine) if row.vendor == vendor)
    fitting = [row for row in rows if release_key(row.since) <= key]
    return max(fitting, key=lambda row: release_key(row.since), default=None)


def image_reference(row: Image, version: str, gpu: Gpu | None = None) -> str:
    """Repository and tag, such as `vllm/vllm-openai:v0.33.0`.

    Images of AMD are built per GPU family; without a GPU the first family is taken.
    """
    first = next(iter(row.families.values()), "")
    family = row.families.get(gpu.compute_capability, first) if gpu else first
    return row.tag.format(version=version, family=family)


def image_faults(
    row: Image, version: str, gpu: Gpu, driver: str | None = None, path: str = "spec"
) -> tuple[Result, ...]:
    """Why the image cannot run on this GPU, node CPU or driver; `path` = that of the spec."""
    if row.vendor == "amd":
        return tuple(_amd_faults(row, version, gpu, path))
    faults = [*_capability_faults(row, version, gpu, path), *_cpu_faults(row, version, gpu, path)]
    return (*faults, *(_driver_faults(row, version, gpu, driver, path) if driver else ()))


def _capability_faults(row: Image, version: str, gpu: Gpu, path: str) -> Iterator[Result]:
    what = f"{gpu.name} has compute capability {gpu.compute_capability}"
    if row.capability and gpu.capability < _numbers(row.capability):
        yield error(
            f"{what}; the image of {row.engine} {version} (CUDA {row.cuda}) needs {row.capability} "
            f"or newer{_older(row, gpu)}",
            f"{path}.gpuPool.gpu",
            current=gpu.name,
        )
    if row.newest and gpu.capability > _numbers(row.newest):
        yield error(
            f"{what}; the image of {row.engine} {version} (CUDA {row.cuda}) runs up to "
            f"{row.newest}: choose a newer version",
            f"{path}.gpuPool.gpu",
            current=gpu.name,
        )


def _older(row: Image, gpu: Gpu) -> str:
    """The way out: versions of the engine that support the GPU, else another engine or GPU."""
    limit = _before(row.engine, gpu)
    if limit:
        return f": choose a version before {limit}"
    found = {engine: _before(engine, gpu) for engine in _engines() if engine != row.engine}
    others = "".join(f"{name} before {since}, or " for name, since in found.items() if since)
    return (
        f", as every catalogued version does: leave the variant out and take {others}choose a GPU "
        f"of {row.capability} or newer"
    )


def _before(engine: str, gpu: Gpu) -> str | None:
    """The first version without the GPU, of an engine that had it."""
    rows = [row for row in _rows(engine) if row.vendor == "nvidia"]
    if not any(_supports(row, gpu) for row in rows):
        return None
    without = [row.since for row in rows if not _supports(row, gpu)]
    return min(without, key=release_key, default=None)


def _supports(row: Image, gpu: Gpu) -> bool:
    return row.capability is None or gpu.capability >= _numbers(row.capability)


def _cpu_faults(row: Image, version: str, gpu: Gpu, path: str) -> Iterator[Result]:
    if gpu.cpu not in row.cpu:
        yield warning(
            f"{gpu.name} stands on {gpu.cpu}; the tag of {row.engine} {version} is known for "
            f"{', '.join(row.cpu)} only: state an `image` for {gpu.cpu}",
            f"{path}.gpuPool.gpu",
        )


def _driver_faults(row: Image, version: str, gpu: Gpu, driver: str, path: str) -> Iterator[Result]:
    branch = int(driver.partition(".")[0])
    if row.driver is None or branch >= row.driver:
        return
    need = f"the image of {row.engine} {version} has CUDA {row.cuda}: driver {row.driver} or newer"
    compat = row.driver_compat if not any(word in gpu.name for word in _DESKTOP) else None
    field_path = f"{path}.gpuPool.driver"
    if compat is None or branch < compat:
        yield error(need, field_path, current=driver, proposed=str(row.driver))
        return
    yield warning(
        f"{need}; {driver} needs CUDA's forward compatibility, which only data-centre GPUs have "
        f"on long-lived branches ({compat} and newer)",
        field_path,
        current=driver,
        proposed=str(row.driver),
    )


def _amd_faults(row: Image, version: str, gpu: Gpu, path: str) -> Iterator[Result]:
    if row.families and gpu.compute_capability not in row.families:
        yield error(
            f"{gpu.name} is {gpu.compute_capability}; images of {row.engine} {version} are built "
            f"for {', '.join(row.families)}",
            f"{path}.gpuPool.gpu",
            current=gpu.name,
        )
    if row.confirmed_until and release_key(version) > release_key(row.confirmed_until):
        yield warning(
            f"the tag {image_reference(row, version, gpu)} is not confirmed after "
            f"{row.confirmed_until}: look it up, or state `image`",
            f"{path}.variants",
        )


def _numbers(capability: str) -> tuple[int, int]:
    major, _, minor = capability.partition(".")
    return int(major), int(minor)


@cache
def _text() -> str:
    return (files("krm_fn.catalog") / "images.yaml").read_text(encoding="utf-8")


def _engines() -> tuple[str, ...]:
    parts = _text().split(_MARK)[1:]
    return tuple(dict.fromkeys(part.split("\n", 1)[0] for part in parts))


@cache
def _rows(engine: str) -> tuple[Image, ...]:
    parts = [part for part in _text().split(_MARK)[1:] if part.split("\n", 1)[0] == engine]
    rows: list[dict[str, Any]] = [
        load(f"- engine: {part}", source="images.yaml")[0] for part in parts
    ]
    return tuple(Image.model_validate(row) for row in rows)
