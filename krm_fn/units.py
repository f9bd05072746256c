"""Quantities, durations and rates; the only place that knows 1024 from 1000.

Bytes are `int`, times `float` seconds, rates `float` bytes per second everywhere else.
"""

import math
import re

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40
_BINARY = {"": 1, "Ki": KIB, "Mi": MIB, "Gi": GIB, "Ti": TIB, "Pi": 2**50}
_DECIMAL = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"(\d+(?:\.\d+)?)"
QUANTITY = _NUMBER + r"(Ki|Mi|Gi|Ti|Pi|k|K|M|G|T|P|)B?"
CORES = _NUMBER + r"(m?)"
DURATION = _NUMBER + r"(ns|us|ms|s|m|h)"
RATE = _NUMBER + r"([kKMGT]i?)?(B|bit|b)(?:/s|ps)"


def quantity_bytes(text: str | int) -> int:
    """Bytes of a Kubernetes quantity: `80Gi`, `500M`, `1024`.

    >>> quantity_bytes("80Gi")
    85899345920
    """
    match = re.fullmatch(QUANTITY, str(text).strip())
    if not match:
        raise ValueError(f'must be a quantity such as "80Gi" or "500M"; got "{text}"')
    number, unit = match.groups()
    return int(float(number) * (_BINARY | _DECIMAL)[unit])


def quantity_cores(text: str | int) -> float:
    """CPU cores of a Kubernetes quantity: `8`, `1500m`."""
    match = re.fullmatch(CORES, str(text).strip())
    if not match:
        raise ValueError(f'must be a number of CPU cores such as "8" or "1500m"; got "{text}"')
    return float(match[1]) * (1e-3 if match[2] else 1)


def duration_seconds(text: str) -> float:
    """Seconds of a duration: `500ms`, `2s`, `1m30s`."""
    parts = re.findall(DURATION, text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ValueError(f'must be a duration such as "500ms" or "2s"; got "{text}"')
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def rate_bytes(text: str) -> float:
    """Bytes per second of a rate: `100MB/s`, `4.8TB/s`, `1GiB/s`; bits (`10Gbit/s`) too."""
    match = re.fullmatch(RATE, text.strip())
    if not match:
        raise ValueError(f'must be a rate such as "500MB/s" or "10Gbit/s"; got "{text}"')
    number, unit, what = match.groups()
    return float(number) * (_BINARY | _DECIMAL)[unit or ""] / (1 if what == "B" else 8)


def gib(count: float) -> str:
    """Bytes for a person: `16.2 GiB`."""
    return f"{count / GIB:.1f} GiB" if abs(count) >= GIB / 10 else f"{count / MIB:.0f} MiB"


def quantity(count: int) -> str:
    """A Kubernetes quantity of whole GiB or MiB, rounded up: `17Gi`, `512Mi`."""
    if count >= 10 * GIB or count % GIB == 0:
        return f"{math.ceil(count / GIB)}Gi"
    return f"{math.ceil(count / MIB)}Mi"


def milliseconds(seconds: float) -> str:
    """Seconds for a person: `23 ms`, `1.4 s`."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def coarse_bytes(count: int, steps: tuple[int, ...]) -> int:
    """The first of the ascending `steps` that holds `count`, else a multiple of the last."""
    fitting = next((step for step in steps if step >= count), None)
    return fitting or math.ceil(count / steps[-1]) * steps[-1]
