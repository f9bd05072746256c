"""Look at the nodes of a cluster, or at this machine's GPUs, and print a GPUPool for each kind.

Save it in the package and name it with `spec.gpuPoolRef`. The cluster is the one that kubectl
talks to; the right to list nodes is enough. `--nvml` asks the driver of this machine instead.
Needs the extra `krm-fn[online]`; `krm-fn plan` and `render` never use the network.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from krm_fn import api, krm
from krm_fn.errors import Result
from krm_fn.lookup import cluster, nvidia, pools

Found = tuple[dict[str, Any], tuple[Result, ...]]


def arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--context", help="a context of the kubeconfig; the default is the current")
    verb.add_argument("--nvml", action="store_true", help="this machine's GPUs, by its driver")
    verb.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml")


def run(options: argparse.Namespace) -> int:
    """Exit 1 when there is no GPU."""
    found = list(machine() if options.nvml else nodes(options.context))
    documents = named(spec for spec, _ in found)
    for document, (_, results) in zip(documents, found, strict=True):
        for result in results:
            print(f"{document['metadata']['name']}: {result.line}", file=sys.stderr)
    if not documents:
        print("no node offers a GPU (nvidia.com/gpu, amd.com/gpu)", file=sys.stderr)
    text = json.dumps(documents, indent=2) + "\n"
    sys.stdout.write(text if options.output == "json" else krm.dump_all(documents))
    return int(not documents)


def nodes(context: str | None) -> Iterator[Found]:
    for pool in pools.pools(cluster.nodes(cluster.cluster(context))):
        yield pools.spec(pool), tuple(pools.findings(pool))


def machine() -> Iterator[Found]:
    for board, count in nvidia.boards().items():
        yield nvidia.spec(board, count), tuple(nvidia.findings(board))


def named(specs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The documents, each with a name of its own: the GPU's, the pool's, a number."""
    documents: list[dict[str, Any]] = []
    taken: set[str] = set()
    for spec in specs:
        what = str(spec.get("nodePool") or spec.get("gpu") or "gpu")
        wanted = api.service_name(f"{what}-spot" if "spot" in spec and "spot" not in what else what)
        names = (wanted, *(f"{wanted[:37]}-{number}" for number in range(2, 1000)))
        name = next(each for each in names if each not in taken)
        taken.add(name)
        documents.append(_document(name, spec))
    return documents


def _document(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": api.GROUP_VERSION,
        "kind": "GPUPool",
        "metadata": {
            "name": name,
            "annotations": {"config.kubernetes.io/local-config": "true"},
        },
        "spec": dict(spec),
    }
