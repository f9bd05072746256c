"""Writes tests/data/vllm-kv-oracle.json and param-count.json: what vLLM and transformers answer.

    .venv/bin/python -m oracle.record       (in tests/; `.ci/engine` makes what answers)

Cases of vllm-kv-oracle.json: those of the file with their hand-chosen settings, the catalogue at
two settings, the examples as they are planned. `configs` holds the shapes that the catalogue lacks.
"""

import json
import subprocess
import sys
from operator import itemgetter
from pathlib import Path
from typing import Any

import yaml
from oracle.cases import Case, case, catalogue, config
from oracle.engine import REMEDY, VERSION, counts, engine_python, plannings

from krm_fn.catalog.models import model_card, model_ids

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
KEPT = ("num_blocks", "block_size", "tokens", "max_concurrency", "bytes_per_block",
        "weight_bytes", "rotary_bytes", "attention_backends")  # fmt: skip
BLACKWELL = "10.0"
"""Cases that are kept as they are: their kernels, FlashInfer's, are not in the environment."""
SOURCE = (
    f"answers of vLLM {VERSION}'s own planning, without weights, for configurations without their "
    "quantisation and vision parts; facts, under the licence of this repository"
)
COMMAND = "cd tests && ../.venv/bin/python -m oracle.record"


def examples() -> list[Case]:
    """The vLLM plans of examples/, with the catalogue's models."""
    configs = sorted((ROOT / "examples").glob("*/config.yaml"))
    argv = [sys.executable, "-m", "krm_fn", "plan", *map(str, configs), "-o", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    plans = [p for p in json.loads(done.stdout) if p["variant"] == "vllm" and p["feasible"]]
    documents = (d for path in configs for d in yaml.safe_load_all(path.read_text()))
    services = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "LLMService"}
    return [_example(plan, services[plan["service"]]["model"]["id"]) for plan in plans]


def _example(plan: dict[str, Any], model: str) -> Case:
    serving = plan["serving"]
    keys = ("kv_cache_dtype", "max_model_len", "max_num_batched_tokens")
    stated = {key: serving[key] for key in keys}
    available = plan["memory"]["kv_cache_bytes"]
    return case(model, tp=plan["parallelism"]["tensor"], available=available, **stated)


def planning(python: str) -> None:
    """Writes vllm-kv-oracle.json."""
    path = DATA / "vllm-kv-oracle.json"
    old = json.loads(path.read_text(encoding="utf-8"))
    shapes = dict(old["configs"])
    stated = [c | {"config": shapes.get(c["model"]) or config(c["model"])} for c in old["cases"]]
    found = [*stated, *catalogue(), *examples()]
    cases = sorted((c for c in found if c["capability"] != BLACKWELL), key=itemgetter("capability"))
    answered = [*zip(cases, plannings(python, cases), strict=True)]
    answered += [(c, c) for c in found if c["capability"] == BLACKWELL]
    faults = [
        f"{asked['model']}: {found['error']}" for asked, found in answered if "error" in found
    ]
    if faults:
        raise RuntimeError("\n".join(faults))
    rows = list(dict.fromkeys(_row(asked, found) for asked, found in answered))
    head = json.dumps({"vllm": VERSION, "source": SOURCE, "command": COMMAND})[:-1]
    configs = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in shapes.items())
    text = ",\n".join(f"  {row}" for row in rows)
    path.write_text(
        f'{head},\n "configs": {{\n{configs}\n }},\n "cases": [\n{text}\n ]\n}}\n', encoding="utf-8"
    )


def _row(asked: Case, found: dict[str, Any]) -> str:
    settings = {key: value for key, value in asked.items() if key not in ("config", *KEPT)}
    return json.dumps(settings | {key: found[key] for key in KEPT})


def parameters(python: str) -> None:
    """Writes param-count.json; models that transformers has no class for are left out."""
    path = DATA / "param-count.json"
    families = json.loads(path.read_text(encoding="utf-8"))["families"]
    names = list(model_ids())
    configs = [dict(model_card(name).config) for name in names]  # type: ignore[union-attr]
    totals = counts(python, [*configs, *(family["config"] for family in families.values())])
    known = {n: t for n, t in zip(names, totals, strict=False) if "error" not in t}
    again = zip(families, totals[len(names) :], strict=True)
    small = {n: {"config": families[n]["config"], "total": t["total"]} for n, t in again}
    parts = (
        f'"command": {json.dumps(COMMAND)}',
        '"catalogue": {\n' + _lines(known) + "\n}",
        '"families": {\n' + _lines(small) + "\n}",
    )
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _lines(rows: dict[str, Any]) -> str:
    return ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())


def main() -> None:
    python = engine_python() or sys.exit(REMEDY)
    planning(python)
    parameters(python)


if __name__ == "__main__":
    main()
