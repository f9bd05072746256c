"""Check configs and manifests without writing anything.

A folder, a file or - (stdin). Configs of ours are planned and rendered in memory; Kubernetes
objects, such as `kustomize build overlays/vllm | krm-fn validate -`, are held against the checks
that guard our own output. `--server` also asks the API server that kubectl talks to: it goes
through a server-side apply of the objects, of each overlay of a folder, and carries nothing out.
"""

import argparse
import sys
from pathlib import Path

from krm_fn import checks
from krm_fn.cli import files
from krm_fn.errors import KrmFnError, Result, has_errors
from krm_fn.function import generate, report
from krm_fn.krm import Item, ResourceList


def arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("source", metavar="DIR|FILE", help="a folder, a file or - (stdin)")
    verb.add_argument("--server", action="store_true", help="also ask the API server")
    verb.add_argument("--context", help="a context of the kubeconfig; the default is the current")


def run(options: argparse.Namespace) -> int:
    items = _items(options.source)
    ours = [item for item in items if item.api_version.startswith("krm-fn.dev/")]
    results = (*_config_results(tuple(ours)), *_object_results(items), *_answers(options, items))
    for result in results:
        path = (result.file or {}).get("path")
        print(f"{path}: {result.line}" if path else result.line)
    found = report.counted(len(results), "finding")
    print(
        f"{report.counted(len(items), 'object') if items else 'no object'}, {found}",
        file=sys.stderr,
    )
    return int(has_errors(results) or not items)


def _items(source: str) -> tuple[Item, ...]:
    folder = Path(source)
    return files.package(folder).items if folder.is_dir() else files.given(source)


def _config_results(items: tuple[Item, ...]) -> tuple[Result, ...]:
    if all(item.kind == "LLMPlan" for item in items):
        return ()
    try:
        return generate(ResourceList(items=items), mode="tree").results
    except KrmFnError as fault:
        return fault.results


def _object_results(items: tuple[Item, ...]) -> tuple[Result, ...]:
    """Objects of kustomize's output; parts of a tree are no final objects and are left out."""
    parts = {_folder(item) for item in items if item.kind == "Kustomization"}
    final = [item.object for item in items if _is_applied(item) and _folder(item) not in parts]
    return checks.faults(checks.Context(objects=tuple(final))) if final else ()


def _folder(item: Item) -> str | None:
    """The folder of the item's file; None if it comes from a stream."""
    return str(Path(item.path).parent) if item.path and "/" in item.path else None


def _is_applied(item: Item) -> bool:
    """Whether a cluster would get it; configs of functions and of kustomize are for others."""
    ours = item.api_version.startswith(("krm-fn.dev/", "kustomize.config.k8s.io/"))
    return not ours and item.kind != "Kptfile"


def _answers(options: argparse.Namespace, items: tuple[Item, ...]) -> tuple[Result, ...]:
    """What the API server says; of a folder with overlays, to what kustomize builds of each."""
    if not options.server:
        return ()
    from krm_fn.lookup import server  # noqa: PLC0415  # networked

    folder = Path(options.source)
    builds = server.builds(folder) if folder.is_dir() else ()
    single = [(item.path, item.object) for item in items if _is_applied(item)]
    return tuple(server.answers(builds or [single], options.context))
