"""Reading manifests that may be malformed: nothing here raises."""

import math
import re
from typing import Any

from krm_fn.krm.item import Manifest
from krm_fn.units import quantity_bytes, quantity_cores

_GPU = re.compile(r"(nvidia|amd)\.com/(gpu|mig-)|gpu\.intel\.com/|habana\.ai/gaudi")


def dig(node: Any, *keys: str) -> Any:
    """The value below these keys, None where there is none."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def mapping(node: Any, *keys: str) -> Manifest:
    found = dig(node, *keys)
    return found if isinstance(found, dict) else {}


def listing(node: Any, *keys: str) -> list[Any]:
    found = dig(node, *keys)
    return found if isinstance(found, list) else []


def count(node: Manifest, key: str, default: int) -> int:
    """A count or its default in Kubernetes."""
    value = node.get(key)
    return value if isinstance(value, int) else default


def is_gpu(resource: str) -> bool:
    return bool(_GPU.match(resource))


def amount(resource: str, quantity: Any) -> float | None:
    """A quantity as a number: cores of CPU, pieces of a device, bytes of all else."""
    countable = resource == "cpu" or "/" in resource
    try:
        return quantity_cores(quantity) if countable else quantity_bytes(quantity)
    except ValueError:
        return None


def reference(manifest: Manifest) -> dict[str, str]:
    """What a Result calls `resource`."""
    metadata = mapping(manifest, "metadata")
    parts = {
        "apiVersion": manifest.get("apiVersion"),
        "kind": manifest.get("kind"),
        "name": metadata.get("name"),
        "namespace": metadata.get("namespace"),
    }
    return {key: str(value) for key, value in parts.items() if value is not None}


def share(value: Any, of: int) -> int:
    """A count that may be a percentage, rounded up as a surge is; 0 when it is neither."""
    if isinstance(value, int):
        return value
    percent = str(value).removesuffix("%")
    return math.ceil(of * int(percent) / 100) if percent.isdecimal() else 0
