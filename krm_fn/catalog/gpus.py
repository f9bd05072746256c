"""GPUs by the name that people or nodes give them; slices of a GPU (MIG) are derived rows.

Only the row that is asked for is parsed: a run needs one of fifty.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from krm_fn.catalog.rows import Flops, Gpu
from krm_fn.errors import Result, error
from krm_fn.krm.yaml import load
from krm_fn.units import GIB, MIB

_ROW = re.compile(r"^- name: (\S+)\n  aliases: \[(.*)\]$", re.MULTILINE)
_MIG_LABEL = re.compile(r"(?P<board>.+)-MIG-(?P<profile>\d+g\.\d+gb)(?:\.me)?")
_PROFILE = re.compile(r"(?P<compute>\d+)g\.(?P<memory>\d+)gb")
_SHARED = "-SHARED"
_MIG_RESERVED_BYTES = int(0.4 * GIB)


def gpu(name: str) -> Gpu | None:
    """The GPU with this product label or alias (any case), as a node or a person writes it.

    `...-MIG-1g.10gb` gives the slice, `...-SHARED` the whole board under its shared label; None if
    the name is unknown or the board has no such profile: `gpu_fault` says which.

    >>> gpu("h100").name
    'NVIDIA-H100-80GB-HBM3'
    """
    base = name.removesuffix(_SHARED)
    if match := _MIG_LABEL.fullmatch(base):
        board = _board(match["board"])
        found = mig_slice(board, match["profile"]) if board else None
    else:
        found = _board(base)
    return found if found is None or not is_shared(name) else shared(found)


def shared(gpu: Gpu) -> Gpu:
    """The GPU under the label that feature discovery gives it when several pods get it."""
    if is_shared(gpu.name):
        return gpu
    return gpu.model_copy(update={"name": gpu.name + _SHARED, "parent": gpu.parent or gpu.name})


def is_shared(name: str) -> bool:
    """Whether the label is that of a GPU offered to several pods (time slicing, MPS)."""
    return name.endswith(_SHARED)


def gpu_names() -> tuple[str, ...]:
    """Product labels of all catalogued boards."""
    return tuple(_positions())


def gpu_fault(name: str, field_path: str = "spec.gpuPool.gpu") -> Result:
    """Why `gpu(name)` is None, and what to write instead."""
    match = _MIG_LABEL.fullmatch(name.removesuffix(_SHARED))
    board = _board(match["board"]) if match else None
    if match and board:
        return mig_fault(board, match["profile"], field_path)
    near = near_names(match["board"] if match else name)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return error(
        "must be a product label as `kubectl get nodes -L nvidia.com/gpu.product` prints it, "
        f"an alias such as 'h100', or a row inline; got '{name}'{hint}",
        field_path,
        current=name,
        proposed=near[0] if near else None,
    )


VENDORS = ("nvidia", "amd", "tesla", "geforce", "instinct", "gpu")


def near_names(name: str) -> tuple[str, ...]:
    """Labels whose name or alias resembles `name`, best first: those of the same board lead.

    >>> near_names("nvidia h100")[0]
    'NVIDIA-H100-80GB-HBM3'
    """
    words = [word for word in _words(name) if word not in VENDORS]
    close = get_close_matches("-".join(words), list(_aliases()), n=3, cutoff=0.6)
    spoken = [_aliases()[key] for key in close]
    rows = {label: _common(words, label) for label in (*spoken, *gpu_names())}
    same = sorted((label for label in rows if rows[label]), key=lambda label: -rows[label])
    return tuple(dict.fromkeys((*same, *spoken)))[:3]


def _common(words: list[str], label: str) -> int:
    """Words of a label that are among these; 0 unless the board's number is."""
    known = _words(label)
    numbers = [word for word in words if re.search(r"\d", word) and not word.endswith("gb")]
    if not {*numbers} & {*known}:
        return 0
    return len({*words} & {*known})


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def mig_slice(board: Gpu, profile: str, strategy: str = "single") -> Gpu | None:
    """One MIG instance of `board`, None if the board has no such profile.

    A board has as many compute slices as its largest profile says and 8 (A30, RTX PRO: 4) memory
    slices. Memory = its slices of the total less 0.4 GiB, which is 0 to 0.2 GiB below what
    `nvidia-smi mig -lgip` prints for A100 and H100; bandwidth = its memory slices; rates = its
    compute slices / memory slices of the board (1g: 14 of 108 or 16 of 132 multiprocessors).
    Slices cannot talk to each other over NVLink, so `link` is None. With the strategy `mixed` the
    node keeps the board's product label and offers `nvidia.com/mig-<profile>`.
    """
    profile = profile.removesuffix(".me").removesuffix("+me")
    if profile not in board.mig_profiles:
        return None
    memory_part, compute_part = _parts(board.mig_profiles, profile)
    mixed = strategy == "mixed"
    return board.model_copy(
        update={
            "name": board.name if mixed else f"{board.name}-MIG-{profile}",
            "aliases": (),
            "memory": _mebibytes(board.memory_bytes * memory_part - _MIG_RESERVED_BYTES),
            "nvml_memory": None,
            "bandwidth": f"{board.bandwidth_bytes * memory_part / 1e9:.0f}GB/s",
            "flops": _scaled(board.flops, compute_part),
            "link": None,
            "bridge": False,
            "mig_profiles": {},
            "confidence": "low",
            "notes": f"{profile} of {board.name}: {memory_part:g} of its memory, estimated",
            "parent": board.name,
            "mig": profile,
            "resource_name": f"nvidia.com/mig-{profile}" if mixed else None,
        }
    )


def mig_fault(board: Gpu, profile: str, field_path: str) -> Result:
    """Why `mig_slice` is None."""
    profiles = ", ".join(board.mig_profiles)
    allowed = f"must be one of {profiles}" if profiles else "cannot be used: the GPU has no MIG"
    return error(
        f"MIG profile of {board.name} {allowed}; got '{profile}'", field_path, current=profile
    )


def _parts(profiles: Mapping[str, int], profile: str) -> tuple[float, float]:
    """Fractions of the board's memory and of its compute."""
    sizes = {name: _sizes(name) for name in profiles}
    most_compute = max(compute for compute, _ in sizes.values())
    most_memory = max(memory for _, memory in sizes.values())
    slices = 8 if most_compute == 7 else most_compute
    compute, memory = sizes[profile]
    return max(1, round(memory / most_memory * slices)) / slices, compute / slices


def _sizes(profile: str) -> tuple[int, int]:
    match = _PROFILE.fullmatch(profile)
    assert match, profile
    return int(match["compute"]), int(match["memory"])


def _scaled(flops: Flops, part: float) -> Flops:
    rates = flops.model_dump(exclude_none=True)
    return Flops(**{name: round(rate * part, 1) for name, rate in rates.items()})


def _mebibytes(count: float) -> str:
    return f"{int(count / MIB)}Mi"


@cache
def _board(name: str) -> Gpu | None:
    label = _aliases().get(name.lower())
    if label is None:
        return None
    start, end = _positions()[label]
    row: list[dict[str, Any]] = load(_text()[start:end], source="gpus.yaml")
    return Gpu.model_validate(row[0])


@cache
def _text() -> str:
    return (files("krm_fn.catalog") / "gpus.yaml").read_text(encoding="utf-8")


@cache
def _positions() -> dict[str, tuple[int, int]]:
    """Product label -> where its row stands in the text."""
    rows = list(_ROW.finditer(_text()))
    ends = [row.start() for row in rows[1:]] + [len(_text())]
    return {row[1]: (row.start(), end) for row, end in zip(rows, ends, strict=True)}


@cache
def _aliases() -> dict[str, str]:
    """Alias or label in lower case -> product label."""
    names: dict[str, str] = {}
    for label, aliases in _ROW.findall(_text()):
        names |= dict.fromkeys(filter(None, aliases.split(", ")), label)
    return names | {label.lower(): label for label in _positions()}
