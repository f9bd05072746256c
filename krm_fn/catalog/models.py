"""Model cards: the rows of `models.yaml`, the user's ModelCard, and `spec.model.config` inline.

The file is read as text and only the wanted row is parsed: a cold start must not pay for all rows.
"""

import re
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.rows import Row
from krm_fn.catalog.shape import ModelShape

_ID = re.compile(r"^- id: (\S+)$", re.MULTILINE)


class Safetensors(Row):
    """What the checkpoint's files hold; wins over the shape."""

    total_bytes: int = Field(gt=0)
    by_dtype: dict[str, int] = Field(default_factory=dict)


class ModelCard(Row):
    """Facts of one model. `config` = config.json, the keys that matter, names as published.

    `parameters` = published total, else the recomputed one; without draft layers.
    """

    # strict would refuse the lists and numbers that a config.json may hold
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    id: str
    config: dict[str, Any]
    safetensors: Safetensors | None = None
    revision: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")
    gated: bool = False
    task: Literal["generate", "embed"] | None = None
    parameters: int | None = Field(default=None, gt=0)
    source: str
    confidence: Literal["high", "medium", "low"] = "medium"
    notes: str | None = None

    @property
    def shape(self) -> ModelShape:
        """ValueError where the config does not determine it.

        A causal architecture that is served for embeddings loads no output head.
        """
        shape = model_shape(self.config)
        pools = self.task == "embed" and shape.task == "generate"
        return replace(shape, task="embed", lm_head=False) if pools else shape


@cache
def _text() -> str:
    return files("krm_fn.catalog").joinpath("models.yaml").read_text(encoding="utf-8")


@cache
def _places() -> dict[str, tuple[int, int]]:
    found = [(match[1], match.start()) for match in _ID.finditer(_text())]
    ends = [start for _, start in found[1:]] + [len(_text())]
    return {name: (start, end) for (name, start), end in zip(found, ends, strict=True)}


def model_ids() -> tuple[str, ...]:
    """Ids of all rows, in the order of the file."""
    return tuple(_places())


@cache
def model_card(model_id: str) -> ModelCard | None:
    """The row of exactly this id; None without one (then `near_models` has proposals)."""
    if model_id not in _places():
        return None
    start, end = _places()[model_id]
    (row,) = yaml.load(_text()[start:end], Loader=yaml.CSafeLoader)
    return ModelCard.model_validate(row)


def near_models(model_id: str) -> tuple[str, ...]:
    """Up to three ids that were perhaps meant; capital letters and the organisation may differ."""
    full = {name.lower(): name for name in model_ids()}
    short: dict[str, str] = {}
    for lower, name in full.items():
        short.setdefault(lower.rpartition("/")[2], name)
    wanted = model_id.lower()
    last = wanted.rpartition("/")[2]
    near = [full.get(wanted), short.get(last)]
    near += [full[name] for name in get_close_matches(wanted, full, n=3, cutoff=0.8)]
    near += [short[name] for name in get_close_matches(last, short, n=3, cutoff=0.8)]
    return tuple(dict.fromkeys(name for name in near if name))[:3]
