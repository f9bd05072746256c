"""Make tests/data/memory-measured.json from the measured rows and their scorer.

    python3 tests/accuracy_data.py SHARED > tests/data/memory-measured.json

SHARED holds data/memory-measured.csv, data/model-arch.csv and tools/score_memory.py, which turns a
row into the LLMService that states what the row states. Run once; `make accuracy` needs none of it.
"""

import importlib
import json
import sys
from pathlib import Path

GIB = 2**30
COMMAND = "python3 tests/accuracy_data.py SHARED"
SOURCE = (
    "figures that engines printed at start, compiled from public issues, repositories and blog "
    "posts; each row cites its own source. Facts, no text or code of those sources; this "
    "compilation is under the licence of this repository"
)
EXTRA = {
    "non_torch": ("non_torch_gib", "non_torch_bytes", GIB),
    "cuda_graphs": ("cuda_graph_gib", "cuda_graph_bytes", GIB),
}


def measured(row, score):
    """Term -> figure, where the row states what the term depends on."""
    number = score.number
    counts = score.scored_terms(row)
    found = {t: number(row[c]) for t, (c, _, _) in score.TERMS.items() if t in counts}
    if "activation" in counts:
        found |= {term: number(row[column]) for term, (column, _, _) in EXTRA.items()}
    return {term: value for term, value in found.items() if value and value > 0}


def entry(row, document, types, score):
    spec = document["spec"]
    return {
        "id": row["id"],
        "engine": row["engine"],
        "version": score.version_class(row),
        "gpu": spec["gpuPool"]["gpu"],
        "type": types[row["model_id"]],
        "measured": measured(row, score),
        "did_fit": row["outcome"] == "ok" if score.fit_counts(row) else None,
        "source": row["source"],
        "spec": spec,
    }


def main():
    shared = Path(sys.argv[1])
    sys.path.insert(0, str(shared / "tools"))
    llm_services, score = (importlib.import_module(n) for n in ("llm_services", "score_memory"))

    data = shared / "data"
    arch = {r["model_id"]: r for r in llm_services.rows(data / "model-arch.csv")}
    gpus = {r["gpu_product_label"]: r for r in llm_services.rows(data / "gpu-facts.csv")}
    types = {name: score.model_type(a) for name, a in arch.items()}
    entries = []
    for row in llm_services.rows(data / "memory-measured.csv"):
        try:
            entries.append(entry(row, score.document(row, arch, gpus), types, score))
        except llm_services.Unusable:
            continue
    head = {"source": SOURCE, "command": COMMAND}
    lines = ",\n".join(json.dumps(e) for e in entries)
    sys.stdout.write(json.dumps(head)[:-1] + ', "rows": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
