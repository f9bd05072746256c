"""A view of a manifest in which every node knows where it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from krm_fn.checks.reading import listing, mapping, reference
from krm_fn.errors import Result, Severity
from krm_fn.krm.item import Manifest


@dataclass(frozen=True)
class Spot:
    """A map inside an object, with the way to it."""

    manifest: Manifest
    path: str
    node: Manifest

    def at(self, *keys: str) -> "Spot":
        return Spot(self.manifest, self.way(*keys), mapping(self.node, *keys))

    def value(self, key: str, default: Any = None) -> Any:
        """A string, number or boolean; None where something else stands."""
        found = self.node.get(key, default)
        return found if isinstance(found, (str, int, float)) else None

    def way(self, *keys: str) -> str:
        return ".".join(filter(None, (self.path, *keys)))

    def each(self, *keys: str) -> Iterator["Spot"]:
        """The maps of a list, called by their name where they have one."""
        for index, item in enumerate(listing(self.node, *keys)):
            if isinstance(item, dict):
                at = f"{self.way(*keys)}[{item.get('name', index)}]"
                yield Spot(self.manifest, at, item)

    def fault(
        self,
        message: str,
        *keys: str,
        current: Any = None,
        proposed: Any = None,
        severity: Severity = "error",
    ) -> Result:
        return Result(
            severity=severity,
            message=message,
            field_path=self.way(*keys) or None,
            current=current,
            proposed=proposed,
            resource=reference(self.manifest),
        )
