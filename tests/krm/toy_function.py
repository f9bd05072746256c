"""A function that needs nothing but the wire room: each Toy emits the objects its spec lists.

The real tools run it as a program; tests in this process call `transform`.
"""

import sys
from dataclasses import replace

from krm_fn import krm

OWNER_KEY = "toy.example/owner"


def transform(resources):
    """Tree in a package, flat elsewhere, for every Toy in the list and the functionConfig."""
    found = [i for i in (*resources.items, resources.function_config) if i and i.kind == "Toy"]
    toys = {(toy.package_path, toy.name): toy for toy in found}
    shape = krm.mode(resources)
    claims = [claim(toy, shape) for toy in toys.values()]
    result = krm.reconcile(resources.items, claims, owner_key=OWNER_KEY)
    return replace(resources, items=result.items, results=result.results)


def claim(toy, shape):
    spec = toy.object.get("spec") or {}
    documents = [
        krm.Document(path if shape == "tree" else None, manifest)
        for path, manifests in (spec.get("files") or {}).items()
        for manifest in manifests
    ]
    return krm.Claim(
        owner=f"Toy/{toy.name}",
        documents=documents,
        package_path=toy.package_path,
        recorded=spec.get("recorded") or {},
    )


if __name__ == "__main__":
    with krm.guarded_stdout() as stdout:
        outcome = krm.run(sys.stdin.buffer.read(), transform, owner_key=OWNER_KEY)
    stdout.buffer.write(outcome.text.encode())
    sys.stderr.writelines(line + "\n" for line in outcome.stderr)
    sys.exit(outcome.exit_code)
