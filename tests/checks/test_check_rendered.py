"""What the target and the examples really render passes every check."""

from dataclasses import replace
from pathlib import Path

import pytest
import samples

from krm_fn.checks import Context, faults
from krm_fn.krm import yaml
from krm_fn.targets import TARGETS

ROOT = Path(__file__).parents[2]
SERVER_ARGS = {
    "vllm": ("--max-model-len=8192", "--max-num-seqs=64", "--gpu-memory-utilization=0.9"),
    "sglang": ("--context-length=8192", "--max-running-requests=64", "--mem-fraction-static=0.8"),
}
FILES = sorted(
    path
    for pattern in ("base/*.yaml", "examples/*/base/*.yaml", "examples/*/*/base/*.yaml")
    for path in ROOT.glob(pattern)
    if path.name != "kustomization.yaml"
)


def _variants(prefetch):
    for variant in samples.VARIANTS:
        server = variant.server
        args = server.args + SERVER_ARGS.get(variant.name, ())
        yield replace(variant, server=replace(server, args=args), prefetch=prefetch)


@pytest.mark.parametrize("prefetch", [None, samples.PREFETCH], ids=["alone", "prefetch"])
@pytest.mark.parametrize("cache", [samples.EPHEMERAL, samples.SHARED], ids=["per pod", "shared"])
def test_rendered_samples_are_silent(cache, prefetch):
    """With what the function knows, each variant passes."""
    variants = tuple(_variants(prefetch))
    service = replace(samples.SERVICE, cache=cache)
    flat = TARGETS["kubernetes"].render(service, variants).flat
    for variant in variants:
        context = Context(objects=flat[variant.name], server=variant.server, external=frozenset())

        assert faults(context) == ()


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=str)
def test_bases_of_examples_are_silent(folder):
    """As `krm-fn validate` sees them: the objects alone."""
    files = [path for path in FILES if path.parent == folder]
    objects = [each for path in files for each in yaml.load_all(path.read_text())]

    assert faults(Context(objects=tuple(objects))) == ()
