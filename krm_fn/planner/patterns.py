"""Which modules a checkpoint's quantisation names: exact names, globs, regular expressions."""

import re
from fnmatch import translate
from functools import lru_cache
from itertools import product

_PREFIX = re.compile(r"^(language_model\.|model\.|backbone\.|thinker\.|text_model\.)+")
_PREFIXES = ("model.", "model.language_model.", "language_model.model.")
# the same module under the names of different checkpoints
_ALIASES = {
    "self_attn": ("self_attn", "attn", "mixer", "attention"),
    "linear_attn": ("linear_attn",),
    "mlp": ("mlp", "ffn", "block_sparse_moe", "mixer", "feed_forward", "moe"),
    "mixer": ("mixer", "mamba"),
    "conv": ("conv",),
}


class Patterns:
    """Names and patterns of modules: `re:` regular expressions, `*` globs, else a dotted part."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        globs = [_PREFIX.sub("", p) for p in patterns if "*" in p and not p.startswith("re:")]
        starts = [p for p in globs if p.index("*") == len(p) - 1]
        rest = [translate(p) for p in globs if p.index("*") != len(p) - 1]
        self._regex = [re.compile(p[3:]) for p in patterns if p.startswith("re:")]
        self._regex += [re.compile("|".join(rest))] if rest else []
        self._starts = tuple(p[:-1] for p in starts)
        exact = (p for p in patterns if "*" not in p and not p.startswith("re:"))
        self._parts = {_PREFIX.sub("", p).strip(".") for p in exact}

    def match(self, name: str) -> bool:
        """`name` is below the model's own prefix: `layers.3.mlp.experts.0.up_proj`."""
        return any(self._matches_one(alias) for alias in _names(name))

    def _matches_one(self, name: str) -> bool:
        if self._parts and not self._parts.isdisjoint(_spans(name)):
            return True
        if name.startswith(self._starts):
            return True
        full = (name, *(prefix + name for prefix in _PREFIXES)) if self._regex else ()
        return any(pattern.match(n) for pattern in self._regex for n in full)


@lru_cache(maxsize=65536)
def _names(name: str) -> list[str]:
    choices = [_ALIASES.get(part, (part,)) for part in name.split(".")]
    return [".".join(parts) for parts in product(*choices)]


@lru_cache(maxsize=65536)
def _spans(name: str) -> frozenset[str]:
    parts = name.split(".")
    ends = range(len(parts) + 1)
    return frozenset(".".join(parts[i:j]) for i in ends for j in ends if i < j)
