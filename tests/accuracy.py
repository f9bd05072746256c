"""How far the planned memory is from what engines printed: `make accuracy`.

Every row of tests/data/memory-measured.json is planned with what the row states, and compared term
by term. Printed (Markdown): a summary against the bars, the terms by engine, version, GPU and model
type, whether "fits" agrees with what happened, calibrated terms refitted without the model's own
family, and the rows that miss with the reason found. `--update` also writes docs/accuracy.md and
the summary in README.md.
"""

import argparse
import datetime as dt
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
PAGE = ROOT / "docs" / "accuracy.md"
README = ROOT / "README.md"
MARKED = re.compile(r"(<!-- accuracy -->\n).*?(<!-- /accuracy -->)", re.DOTALL)
GIB = 2**30
TERMS = {  # term: (key of the plan's memory, its units per unit of the data)
    "weights": ("weights_bytes", GIB),
    "activation": ("activation_bytes", GIB),
    "non_torch": ("non_torch_bytes", GIB),
    "cuda_graphs": ("cuda_graph_bytes", GIB),
    "kv_cache_bytes": ("kv_cache_bytes", GIB),
    "kv_cache_tokens": ("kv_cache_tokens", 1),
    "max_concurrency": ("max_concurrency", 1),
    "blocks": ("kv_cache_blocks", 1),
}
CALIBRATED = ("activation", "non_torch", "cuda_graphs")
BARS = (  # what, engine or None, term, median %, p90 %
    ("weights", None, "weights", 0.5, None),
    ("KV bytes", "vllm", "kv_cache_bytes", 1.0, 5.0),
    ("KV tokens", "vllm", "kv_cache_tokens", 1.0, 5.0),
    ("concurrency", "vllm", "max_concurrency", 1.0, 5.0),
    ("SGLang pool", "sglang", "kv_cache_tokens", 2.0, None),
)
FIT_BAR = 98.0
FAMILIES = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One term of one row: planned and measured, in the unit of the data."""

    row: Mapping[str, Any]
    term: str
    planned: float
    measured: float

    @property
    def error(self) -> float:
        return abs(self.planned / self.measured - 1)


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DATA / "memory-measured.json").read_text())["rows"]
    return found


def misses() -> dict[str, dict[str, str]]:
    """Row -> `kind` ("row": the row lacks or contradicts what decides it, "model": facts of the
    checkpoint are not known, "engine": the planner is wrong or the engine scatters) and `why`.
    """
    found: dict[str, dict[str, str]] = json.loads((DATA / "memory-misses.json").read_text())
    return found


def plans(entries: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """All rows through one `krm-fn plan`; plans by row id."""
    head = {"apiVersion": "krm-fn.dev/v1alpha1", "kind": "LLMService"}
    documents = (
        json.dumps(head | {"metadata": {"name": e["id"]}, "spec": e["spec"]}) for e in entries
    )
    argv = [sys.executable, "-m", "krm_fn", "plan", "-", "-o", "json"]
    text = "\n---\n".join(documents)
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, cwd=ROOT)
    return {plan["service"]: plan for plan in json.loads(done.stdout) if plan["memory"]}


def figures(
    entries: Iterable[Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> Iterator[Figure]:
    for row in entries:
        memory = found[row["id"]]["memory"] if row["id"] in found else {}
        for term, measured in row["measured"].items():
            key, unit = TERMS[term]
            if key in memory:
                yield Figure(row=row, term=term, planned=memory[key] / unit, measured=measured)


def summary(items: list[Figure]) -> tuple[int, float, float, float]:
    """n, median % and p90 % of |planned / measured - 1|, bias (median of planned / measured)."""
    errors = sorted(100 * item.error for item in items)
    p90 = errors[min(len(errors) - 1, int(0.9 * len(errors)))]
    bias = statistics.median(item.planned / item.measured for item in items)
    return len(items), statistics.median(errors), p90, bias


def cells(items: list[Figure]) -> str:
    if not items:
        return "0 | - | -"
    count, median, p90, _ = summary(items)
    return f"{count} | {median:.1f} | {p90:.1f}"


def against_bars(items: list[Figure], sound: Callable[[Figure], bool]) -> Iterator[str]:
    sides = " | ".join(f"{side} | median % | p90 %" for side in ("all rows", "not set aside"))
    yield f"| term | bar: median, p90 % | {sides} |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, engine, term, median, p90 in BARS:
        own = [i for i in items if i.term == term and engine in (None, i.row["engine"])]
        bar = f"{median:g}" + (f", {p90:g}" if p90 else "")
        yield f"| {name} | {bar} | {cells(own)} | {cells([i for i in own if sound(i)])} |"


def fits(
    entries: Iterable[Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[bool, bool]]:
    """Row -> (planned to fit, did fit)."""
    decided = (row for row in entries if row["did_fit"] is not None and row["id"] in found)
    return {row["id"]: (found[row["id"]]["feasible"], row["did_fit"]) for row in decided}


def fit_line(verdicts: Mapping[str, tuple[bool, bool]], what: str) -> str:
    wrong = [name for name, (said, was) in verdicts.items() if said and not was]
    shy = [name for name, (said, was) in verdicts.items() if was and not said]
    right = 100 * (1 - (len(wrong) + len(shy)) / len(verdicts))
    return (
        f"fit or no fit, {what}: {right:.1f} % of {len(verdicts)} (bar {FIT_BAR:g}); "
        f'false "fits": {", ".join(wrong) or "none"}; false "does not fit": '
        f"{', '.join(shy) or 'none'}"
    )


def detail(items: list[Figure]) -> Iterator[str]:
    yield "| term | group | | n | median % | p90 % | bias |"
    yield "|---|---|---|---|---|---|---|"
    for term in TERMS:
        own = [i for i in items if i.term == term]
        for group in ("all", "engine", "version", "gpu", "type"):
            names = [""] if group == "all" else sorted({i.row[group] for i in own})
            for name in names:
                part = [i for i in own if group == "all" or i.row[group] == name]
                if part:
                    yield f"| {term} | {group} | {name} | {cells(part)} | {summary(part)[3]:.2f} |"


def family(row: Mapping[str, Any]) -> str:
    """Llama, Qwen, gemma ...: the first word of the model's own name."""
    name = str(row["spec"]["model"]["id"]).split("/")[-1]
    word = FAMILIES.search(name.removeprefix("Meta-").removeprefix("NVIDIA-"))
    return word[0].lower() if word else name


def left_out(items: list[Figure]) -> Iterator[str]:
    """Each calibrated term as a factor of the other families' median, on the family left out."""
    yield "| term | families | rows | median % | p90 % |"
    yield "|---|---|---|---|---|"
    for term in CALIBRATED:
        own = [i for i in items if i.term == term and i.planned > 0]
        refitted = []
        for item in own:
            alike = [i for i in own if _alike(i, item) and family(i.row) != family(item.row)]
            if alike:
                factor = statistics.median(i.measured / i.planned for i in alike)
                refitted.append(Figure(row=item.row, term=term, measured=item.measured,
                                       planned=item.planned * factor))  # fmt: skip
        if refitted:
            yield f"| {term} | {len({family(i.row) for i in refitted})} | {cells(refitted)} |"


def _alike(one: Figure, other: Figure) -> bool:
    """Figures that one constant stands behind: engine, version class, GPU, one GPU or several."""
    same = all(one.row[key] == other.row[key] for key in ("engine", "version", "gpu"))
    several = [i.row["spec"]["serving"]["tensorParallelSize"] > 1 for i in (one, other)]
    return same and several[0] == several[1]


def missing(items: list[Figure], entries: list[dict[str, Any]], planned: set[str]) -> Iterator[str]:
    """Rows off by more than 2 % or without a plan, with the reason found."""
    known = misses()
    yield "| row | model, engine, GPU | planned / measured | kind | reason |"
    yield "|---|---|---|---|---|"
    terms = {term for _, _, term, _, _ in BARS}
    for row in entries:
        off = [i for i in items if i.row is row and i.term in terms and i.error > 0.02]
        if not off and row["id"] not in known and row["id"] in planned:
            continue
        shown = "; ".join(f"{i.term} {i.planned:.4g} / {i.measured:.4g}" for i in off)
        reason = known.get(row["id"], {"kind": "?", "why": "not looked into"})
        version = next(iter(row["spec"]["variants"].values()))["version"]
        what = f"{row['spec']['model']['id']}, {row['engine']} {version}, {row['gpu']}"
        shown = (shown or "within 2 %") if row["id"] in planned else "no plan"
        yield f"| {row['id']} | {what} | {shown} | {reason['kind']} | {reason['why']} |"


def head(entries: list[dict[str, Any]], items: list[Figure], verdicts: Mapping[str, Any]) -> str:
    known = misses()
    today = dt.datetime.now(tz=dt.UTC).date()

    def sound(item: Figure) -> bool:
        return known.get(item.row["id"], {}).get("kind") != "row"

    kept = {k: v for k, v in verdicts.items() if known.get(k, {}).get("kind") != "row"}
    about = (
        f"{today}, `make accuracy`: {len(entries)} configurations that people measured. Error = "
        "planned / measured - 1. Sound rows = without those that lack or contradict what decides "
        "the figure."
    )
    lines = (
        about,
        "",
        *against_bars(items, sound),
        "",
        f"- {fit_line(verdicts, 'all rows')}",
        f"- {fit_line(kept, 'without rows set aside')}",
    )
    return "\n".join(lines)


def short(
    entries: list[Any], items: list[Figure], verdicts: Mapping[str, tuple[bool, bool]]
) -> str:
    """The six lines of README."""
    columns = []
    for name, engine, term, median, p90 in BARS:
        own = [i for i in items if i.term == term and engine in (None, i.row["engine"])]
        count, middle, high, _ = summary(own)
        bar = f"{median:g}" + (f" / {p90:g}" if p90 else "")
        columns.append((f"{name} ({count})", f"{middle:.1f} / {high:.1f}", bar))
    right = 100 * statistics.fmean(said == was for said, was in verdicts.values())
    columns.append((f"fits or not ({len(verdicts)})", f"{right:.1f} right", f"{FIT_BAR:g}"))
    names, found, bars = (" | ".join(cell) for cell in zip(*columns, strict=True))
    today = dt.datetime.now(tz=dt.UTC).date()
    about = (
        f"{today}, `make accuracy`, {len(entries)} configurations that people measured; "
        "[by engine, version, GPU and model, and every miss](docs/accuracy.md):"
    )
    return "\n".join(
        (
            about,
            "",
            f"| error %, median / p90 (rows) | {names} |",
            "|---" * (len(columns) + 1) + "|",
            f"| all rows | {found} |",
            f"| bar | {bars} |",
        )
    )


MISSES = (
    "Off by more than 2 % in a term that has a bar, or not planned. Kind: *row* = it lacks or "
    "contradicts what decides the figure (set aside); *model* = facts of its checkpoint are not "
    "known; *engine* = the planner is wrong or the engine scatters."
)


def page(entries: list[dict[str, Any]]) -> tuple[str, str]:
    """The summary for README and the whole page."""
    found = plans(entries)
    items = list(figures(entries, found))
    verdicts = fits(entries, found)
    top = head(entries, items, verdicts)
    parts = (
        "# Accuracy of the memory plan",
        top,
        "## By engine, version, GPU and model type",
        "\n".join(detail(items)),
        "## Calibrated terms, refitted without the model's own family",
        "\n".join(left_out(items)),
        "## Rows that miss",
        MISSES,
        "\n".join(missing(items, entries, set(found))),
    )
    return short(entries, items, verdicts), "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write docs/accuracy.md and README")
    options = parser.parse_args()
    top, text = page(rows())
    sys.stdout.write(text)
    if options.update:
        PAGE.write_text(text, encoding="utf-8")
        readme = README.read_text(encoding="utf-8")
        README.write_text(MARKED.sub(rf"\1\n{top}\n\n\2", readme), encoding="utf-8")


if __name__ == "__main__":
    main()
