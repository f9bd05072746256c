"""What vLLM was measured to take beside weights and KV cache: rows with count, spread, source."""

from dataclasses import replace

from krm_fn.engines.since import Since
from krm_fn.planner.limits import Activation, Graphs, Overhead, Where
from krm_fn.units import GIB, MIB

H100_019 = "memory-measured.csv vllm-0010..0060; llm-d-planner accuracy report, 0.19.0 on H100"
HOPPER = Where(min_major=9, max_major=9)
LARGE = Where(min_memory_bytes=70 * GIB)
MULTICAST = Where(min_tensor=2, min_memory_bytes=70 * GIB, min_major=9)
"""NCCL's NVLink multicast buffers, from Hopper on."""
UNIFIED = Where(names=("GB10",))
ANY = Where()

_NOW = Activation(
    where=LARGE,
    sampler_copies=3.6,
    hidden_copies=3.0,
    constant_bytes=int(0.065 * GIB),
    expert_workspace=True,
    resident_bytes=int(2.5 * GIB),
    spread=0.06,
    measurements=49,
    source=H100_019,
)
_SORTED = replace(
    _NOW,
    sampler_copies=9.45,
    expert_workspace=False,
    expert_chunk_tokens=32768,
    measurements=4,
    source="memory-measured.csv vllm-0113, -0204, -0205, -0208: a sort in the sampler, 0.10-0.16",
)

_V0 = replace(
    _NOW,
    where=ANY,
    sampler_copies=3.6,
    expert_workspace=False,
    whole_prompt=True,
    spread=0.5,
    measurements=3,
    source="vllm#10517; memory-measured.csv vllm-0176, -0237",
)


def _smaller(row: Activation) -> Activation:
    """The same on GPUs below 70 GiB, whose matrix libraries keep smaller workspaces."""
    return replace(
        row,
        where=ANY,
        constant_bytes=20 * MIB,
        spread=0.15,
        measurements=8,
        source="form of H100; memory-measured.csv vllm-0082, -0097, -0134..0138, -0172",
    )


ACTIVATION = (
    Since(until=(0, 8), value=_V0),
    Since(since=(0, 8), until=(0, 17), value=_SORTED),
    Since(since=(0, 8), until=(0, 17), value=_smaller(_SORTED)),
    Since(since=(0, 17), value=_NOW),
    Since(since=(0, 17), value=_smaller(_NOW)),
)

_GRAPHS = Graphs(
    where=HOPPER,
    max_size=512,
    base_bytes=int(0.55 * GIB),
    layer_bytes=int(12.8 * MIB),
    expert_bytes=int(0.3 * GIB),
    estimate=0.9,
    spread_bytes=int(0.5 * GIB),
    measurements=18,
    source=H100_019,
)
_PLAIN = replace(
    _GRAPHS,
    where=ANY,
    base_bytes=int(0.1 * GIB),
    measurements=4,
    source="form of H100; memory-measured.csv vllm-0082, -0097, -0098, -0134",
)
_WIDE = replace(
    _GRAPHS,
    where=Where(min_major=10, max_major=10),
    max_size=1024,
    measurements=0,
    spread_bytes=2 * GIB,
    source="captured up to 1024 (vllm/config/vllm.py, 0.33); size from Hopper",
)
_UNIFIED = replace(
    _GRAPHS,
    where=UNIFIED,
    measurements=17,
    spread_bytes=int(1.5 * GIB),
    source="vllm-0124..0155: estimates of 0.1 to 2.5 GiB on GB10",
)
GRAPHS = (_UNIFIED, _GRAPHS, _WIDE, _PLAIN)


def _row(where: Where, gib: float, spread: float, measurements: int, source: str) -> Overhead:
    return Overhead(
        where=where,
        bytes=int(gib * GIB),
        spread_bytes=int(spread * GIB),
        measurements=measurements,
        source=source,
    )


CONTEXT = (
    Since(value=_row(UNIFIED, 1.0, 1.0, 2, "free memory of the host counts")),
    Since(value=_row(MULTICAST, 1.75, 0.25, 8, H100_019)),
    Since(value=_row(LARGE, 0.51, 0.1, 16, H100_019)),
    Since(value=_row(Where(min_tensor=2), 0.45, 0.2, 0, "estimated from H100")),
    Since(value=_row(ANY, 0.3, 0.15, 0, "estimated from H100")),
)
NON_TORCH = (
    Since(value=_row(Where(names=("GB10",), min_tensor=2), 16.5, 6.0, 2, "vllm-0311, -0312")),
    Since(value=_row(UNIFIED, 3.5, 1.5, 6, "vllm-0124, -0145, -0146, -0148, -0154, -0155")),
    Since(value=_row(Where(min_pipeline=2), 0.07, 0.1, 5, H100_019)),
    Since(
        until=(0, 17),
        value=_row(MULTICAST, 0.56, 0.2, 2, "llm-d-planner empirical results, 0.11 on H100 TP2"),
    ),
    Since(since=(0, 17), value=_row(MULTICAST, 2.08, 0.1, 20, H100_019)),
    Since(
        value=_row(
            Where(min_tensor=2, min_memory_bytes=35 * GIB), 0.35, 0.15, 3, "vllm-0170, -0306"
        )
    ),
    Since(until=(0, 11), value=_row(LARGE, 0.07, 0.1, 1, "vllm-0113")),
    Since(
        since=(0, 11),
        until=(0, 17),
        value=_row(LARGE, 0.13, 0.1, 4, "vllm-0204, -0205, -0208, -0211"),
    ),
    Since(since=(0, 17), value=_row(LARGE, 0.25, 0.1, 20, H100_019)),
    Since(value=_row(Where(min_tensor=2), 0.15, 0.15, 6, "vllm-0135..0138, vllm-0170, -0172")),
    Since(value=_row(Where(min_memory_bytes=35 * GIB), 0.15, 0.15, 0, "between both neighbours")),
    Since(value=_row(ANY, 0.03, 0.1, 3, "vllm-0082, -0119, -0134")),
)
