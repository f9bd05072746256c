"""One tensor of a model, and the few ways to make one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Shard = Literal["column", "row", "kv_heads", "groups", "vocab", "replicated"]
Class = Literal[
    "embedding",
    "lm_head",
    "attention",
    "mla",
    "state",
    "mlp",
    "experts",
    "shared_experts",
    "router",
    "norm",
    "encoder",
    "other",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """One weight of `rows` x `columns`, `count` times.

    `shard` says how tensor parallelism splits it: "column" the rows, "row" the columns, "kv_heads"
    the rows by `heads` with copies once there are more GPUs than heads, "vocab" the rows after
    padding. `experts` = spread over expert parallelism first. `linear` = quantisation applies.
    `itemsize` = fixed bytes per element (None = the model's dtype). `copy` = not in the files: an
    engine keeps a second copy of another tensor (V where K serves as V).
    """

    cls: Class
    name: str
    rows: int
    columns: int = 1
    count: int = 1
    shard: Shard = "replicated"
    heads: int = 0
    experts: bool = False
    linear: bool = False
    itemsize: int | None = None
    layer: int | None = None
    copy: bool = False

    @property
    def parameters(self) -> int:
        return 0 if self.copy else self.rows * self.columns * self.count


def linear(cls: Class, name: str, rows: int, columns: int, shard: Shard, heads: int = 0) -> Tensor:
    return Tensor(
        cls=cls, name=name, rows=rows, columns=columns, shard=shard, heads=heads, linear=True
    )


def vector(
    cls: Class, name: str, rows: int, shard: Shard = "replicated", itemsize: int | None = None
) -> Tensor:
    return Tensor(cls=cls, name=name, rows=rows, shard=shard, itemsize=itemsize)


def _bias(of: Tensor) -> Tensor:
    """A bias of the rows of a linear layer; not split where its input is."""
    shard: Shard = "replicated" if of.shard == "row" else of.shard
    return Tensor(
        cls=of.cls,
        name=of.name + ".bias",
        rows=of.rows,
        count=of.count,
        shard=shard,
        heads=of.heads,
        experts=of.experts,
    )


def with_bias(tensor: Tensor, bias: bool) -> Iterator[Tensor]:  # noqa: FBT001 - a fact, not a mode
    yield tensor
    if bias:
        yield _bias(tensor)
