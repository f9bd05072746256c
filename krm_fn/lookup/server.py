"""A server-side dry run of what a folder's overlays build to, or of plain objects."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from krm_fn.errors import ConfigError, Result, error
from krm_fn.krm import Manifest, load, load_all
from krm_fn.lookup import cluster

Files = Sequence[tuple[str | None, Manifest]]
NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
BUILDERS = (("kustomize", ("build",)), ("kubectl", ("kustomize",)))


def answers(sets: Sequence[Files], context: str | None = None) -> Iterator[Result]:
    """The faults of every set; an object that several sets have alike is asked about once."""
    of, seen = cluster.cluster(context), set[str]()
    for files in sets:
        manifests = [manifest for _, manifest in files]
        missing = cluster.missing_namespaces(of, manifests)
        yield from cluster.said_of_missing(missing, of.namespace)
        for path, manifest in files:
            if repr(manifest) not in seen:
                seen.add(repr(manifest))
                moved = cluster.in_namespace(manifest, missing, of.namespace)
                yield from cluster.dry_run(of, moved, path)


def builds(folder: Path) -> tuple[Files, ...]:
    """One set for each kustomization that no other one uses; the file is the kustomization's."""
    roots = {path.parent.resolve(): path for name in NAMES for path in folder.rglob(name)}
    used = {place for path in roots.values() for place in _resources(path)}
    return tuple(
        [(path.relative_to(folder).as_posix(), manifest) for manifest in _built(path.parent)]
        for place, path in sorted(roots.items())
        if place not in used
    )


def _resources(path: Path) -> Iterator[Path]:
    found = load(path.read_text(encoding="utf-8"), source=str(path)) or {}
    for name in (*(found.get("resources") or ()), *(found.get("components") or ())):
        yield (path.parent / str(name)).resolve()


def _built(folder: Path) -> list[Manifest]:
    """What kustomize makes of a folder; ConfigError with what it says."""
    for name, words in BUILDERS:
        if program := shutil.which(name):
            done = subprocess.run(  # noqa: S603  # the program of the path, no shell
                [program, *words, os.fspath(folder)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise ConfigError([error(f"{folder} does not build: {done.stderr.strip()}")])
            return [each for each in load_all(done.stdout) if each]
    raise ConfigError([error("kustomize or kubectl must be installed to build overlays")])
