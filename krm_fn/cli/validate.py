"""Check configs and manifests without writing anything.

A folder, a file or - (stdin). Configs of ours are planned and rendered in memory; Kubernetes
objects, such as `kustomize build overlays/vllm | krm-fn validate -`, are held against the checks
that guard our own output.
"""

import argparse
import sys
from pathlib import Path

from krm_fn import checks
from krm_fn.cli import files
from krm_fn.errors import KrmFnError, Result, has_errors
from krm_fn.function import generate
from krm_fn.krm import Item, ResourceList


def arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("source", metavar="DIR|FILE", help="a folder, a file or - (stdin)")


def run(options: argparse.Namespace) -> int:
    items = _items(options.source)
    ours = [item for item in items if item.api_version.startswith("krm-fn.dev/")]
    results = (*_config_results(tuple(ours)), *_object_results(items))
    for result in results:
        print(result.line)
    print(f"{len(items)} objects, {len(results)} findings", file=sys.stderr)
    return int(has_errors(results) or not items)


def _items(source: str) -> tuple[Item, ...]:
    folder = Path(source)
    return files.package(folder).items if folder.is_dir() else files.given(source)


def _config_results(items: tuple[Item, ...]) -> tuple[Result, ...]:
    if not any(item.kind == "LLMService" for item in items):
        return ()
    try:
        return generate(ResourceList(items=items), mode="tree").results
    except KrmFnError as fault:
        return fault.results


def _object_results(items: tuple[Item, ...]) -> tuple[Result, ...]:
    """Objects of kustomize's output; parts of a tree are no final objects and are left out."""
    final = [
        item.object
        for item in items
        if not item.api_version.startswith(("krm-fn.dev/", "kustomize.config.k8s.io/"))
        and item.kind != "Kptfile"
    ]
    return checks.faults(checks.Context(objects=tuple(final))) if final else ()
