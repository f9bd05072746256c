"""Which GPUs a service means: the pool, the board or slice, and where its nodes are."""

from collections.abc import Iterator

from krm_fn.api.v1alpha1 import GpuPoolSpec, LLMService
from krm_fn.catalog import gpus, platforms
from krm_fn.catalog.rows import Gpu
from krm_fn.errors import Result, error, warning
from krm_fn.function.found import Found, no_such
from krm_fn.function.intake import Intake, Key, referred
from krm_fn.units import gib, quantity_bytes


def pool_of(service: LLMService, given: Intake, package_path: str | None) -> Found:
    spec = service.spec
    if spec.gpu_pool:
        return Found(value=spec.gpu_pool)
    key = pool_key(service, given, package_path)
    if key is not None:
        return Found(value=given.pools[key].spec)
    assert spec.gpu_pool_ref is not None
    name = spec.gpu_pool_ref.name
    return Found(results=(no_such("GPUPool", name, given.pools, "gpuPoolRef.name", given),))


def pool_key(service: LLMService, given: Intake, package_path: str | None) -> Key | None:
    """The shared pool that is meant, None without one."""
    ref = service.spec.gpu_pool_ref
    return referred(given.pools, package_path, ref.name) if ref else None


def placement(pool: GpuPoolSpec, gpu: Gpu) -> platforms.Placement:
    """What the pool says of its nodes."""
    stated = pool.taints
    return platforms.Placement(
        platform=pool.platform,
        gpu=gpu,
        node_pool=pool.node_pool,
        spot=pool.spot,
        node_selector=pool.node_selector,
        taints=None if stated is None else tuple(taint.model_dump() for taint in stated),
    )


def gpu_of(pool: GpuPoolSpec) -> Found:
    """The board or slice; shared and sliced GPUs must be asked for."""
    found = pool.gpu if isinstance(pool.gpu, Gpu) else gpus.gpu(pool.gpu)
    if found is None:
        assert isinstance(pool.gpu, str)
        return Found(results=(gpus.gpu_fault(pool.gpu),))
    if pool.mig and not found.mig:
        part = gpus.mig_slice(found, pool.mig.profile, pool.mig.strategy)
        if part is None:
            return Found(
                results=(gpus.mig_fault(found, pool.mig.profile, "spec.gpuPool.mig.profile"),)
            )
        found = part
    found = gpus.shared(found) if pool.shared else found
    return Found(value=found, results=(*_sharing(pool, found), *_memory(pool, found)))


def _sharing(pool: GpuPoolSpec, found: Gpu) -> Iterator[Result]:
    if gpus.is_shared(found.name) and pool.shared is None:
        yield error(
            "is a time-sliced GPU: its memory is shared with other pods without any limit; state "
            "`shared: {replicas: N}` to plan with 1/N of it, or use whole GPUs",
            "spec.gpuPool.gpu",
            current=found.name,
            proposed=found.name.removesuffix("-SHARED"),
        )


USUAL_MEMORY = (0.8, 1.05)
"""Parts of the catalogue's memory that a board may have: ECC and drivers take some, none adds."""


def _memory(pool: GpuPoolSpec, found: Gpu) -> Iterator[Result]:
    """A stated memory that is hardly that of this board."""
    if pool.gpu_memory is None or isinstance(pool.gpu, Gpu):
        return
    least, most = USUAL_MEMORY
    if not least <= quantity_bytes(pool.gpu_memory) / found.memory_bytes <= most:
        yield warning(
            f"is far from the {gib(found.memory_bytes)} that CUDA reports of {found.name}; got "
            f"{pool.gpu_memory}, and the plan goes by it: leave it out if it is no measured value",
            "spec.gpuPool.gpuMemory",
            current=pool.gpu_memory,
        )
