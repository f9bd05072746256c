"""The API server takes every example and variant, twice, and in their changes."""

import os
from collections.abc import Iterator, Mapping
from functools import cache

import pytest
from kube import (
    APPLY,
    EXAMPLES,
    MANAGER,
    Kube,
    Manifest,
    changed,
    config,
    eventually,
    flat,
    identity,
    moved,
    namespace,
    nothing_runs,
    only,
    pod_of,
    rendered,
    stream,
    without,
)

from krm_fn.cli import files
from krm_fn.errors import KrmFnError
from krm_fn.function.intake import intake
from krm_fn.function.rendered import render_services
from krm_fn.krm import ResourceList

REFUSED = {"infeasible"}
LEVELS = {"mock": "restricted", "vllm": "restricted", "sglang": "baseline"}
"""What each engine's image allows; SGLang's runs as root until a uid is stated."""


@cache
def services() -> Mapping[tuple[str, str, str], tuple[Manifest, ...]]:
    """(example, service, variant) -> its objects; an example that cannot work has none."""
    found: dict[tuple[str, str, str], tuple[Manifest, ...]] = {}
    for folder in sorted(path for path in EXAMPLES.iterdir() if path.is_dir()):
        try:
            given = intake(ResourceList(items=files.package(folder).items))
            for each in render_services(given):
                for variant, objects in each.rendering.flat.items():
                    found[folder.name, each.facts.service.metadata.name, variant] = objects
        except KrmFnError:
            found[folder.name, "", ""] = ()
    return found


def cases() -> list[tuple[str, str, str]]:
    """All of them; without a cluster nothing is worth the seconds of rendering."""
    if not os.environ.get("KUBECONFIG"):
        return [("quickstart", "qwen3-8b", "mock")]
    return [key for key, objects in services().items() if objects]


CASES = cases()
IDS = ["-".join(dict.fromkeys(case)) for case in CASES]


@pytest.fixture(scope="module")
def quiet(cluster: Kube) -> Iterator[Mapping[str, Kube]]:
    """A namespace of each level in which no pod starts."""
    with (
        namespace(cluster.kubectl, "krm-fn-test-apply-r") as restricted,
        namespace(cluster.kubectl, "krm-fn-test-apply-b", "baseline") as baseline,
    ):
        nothing_runs(restricted)
        nothing_runs(baseline)
        yield {"restricted": restricted, "baseline": baseline}


def generations(kube: Kube, objects: list[Manifest]) -> dict[str, int]:
    """Of the objects whose generation counts changes of what was asked for."""
    names = [identity(each) for each in objects if each["kind"] != "Namespace"]
    found = kube.json("get", *names)["items"]
    return {identity(each): each["metadata"].get("generation", 0) for each in found}


def test_only_infeasible_examples_have_no_objects():
    """Every example but those that show a refusal is applied below."""
    empty = {example for (example, _, _), objects in services().items() if not objects}

    assert empty == REFUSED


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_objects_are_applied_twice_without_a_difference(quiet, case):
    """Strict validation accepts all fields, and the second apply finds nothing to do."""
    kube = quiet[LEVELS[case[2]]]
    objects = moved(without(services()[case], "Namespace"), kube.namespace)
    applied = kube.apply(objects)
    before = generations(kube, objects)
    # the status may move between the two states that are compared
    eventually(lambda: not kube.differences(objects), 15, saying="no difference")
    kube.apply(objects)
    after = generations(kube, objects)
    kube("delete", "-f", "-", "--wait=false", stdin=stream(objects))

    assert len(applied.splitlines()) == len(objects)
    assert before == after


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_pods_pass_the_pod_security_level_of_their_engine(restricted, baseline, case):
    """`restricted` for the mock and vLLM, `baseline` for SGLang as root."""
    kube = {"restricted": restricted, "baseline": baseline}[LEVELS[case[2]]]
    deployment = only(services()[case], "Deployment")
    pod = moved([pod_of(deployment)], kube.namespace)
    account = moved([only(services()[case], "ServiceAccount")], kube.namespace)
    kube.apply(account)
    done = kube.apply(pod, "--dry-run=server")

    assert "pod/alone serverside-applied (server dry run)" in done


def test_a_stated_uid_makes_sglang_restricted(restricted):
    """The exception ends where the user states what the image does not."""
    objects = flat(changed(config(), security={"runAsUser": 2000}))["sglang"]
    restricted.apply([only(objects, "ServiceAccount")])
    done = restricted.apply([pod_of(only(objects, "Deployment"))], "--dry-run=server")

    assert "pod/alone serverside-applied (server dry run)" in done


def test_sglang_as_root_is_refused_under_restricted(restricted):
    """The warning that the function gives is what the cluster does."""
    (service,) = rendered(config())
    objects = service.rendering.flat["sglang"]
    restricted.apply([only(objects, "ServiceAccount")])
    pod = stream([pod_of(only(objects, "Deployment"))])
    done = restricted.attempt(*APPLY, "--dry-run=server", "-f", "-", stdin=pod)
    said = [result.message for result in service.results if "baseline" in result.message]

    assert 'violates PodSecurity "restricted' in done.stderr
    assert len(said) == 1


def test_a_namespace_of_ours_has_the_level_that_its_pods_pass(cluster):
    """`output.namespaceObject` gives a namespace in which the pods are admitted without a word."""
    case = ("one-node-70b", "llama-70b", "vllm")
    objects = moved(services()[case], "krm-fn-test-own")
    try:
        kube = Kube(cluster.kubectl, "krm-fn-test-own")
        kube.apply(objects)
        done = kube.apply([pod_of(only(objects, "Deployment"))], "--dry-run=server")
        (space,) = [each for each in objects if each["kind"] == "Namespace"]
    finally:
        cluster("delete", "namespace", "krm-fn-test-own", "--ignore-not-found", "--wait=false")

    assert "pod/alone" in done
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def steps() -> list[tuple[str, str, Manifest]]:
    """(what changes, variant, config): each is applied over the one before."""
    base = config()
    more = changed(base, workload={"inputTokens": 4000, "outputTokens": 500, "concurrency": 8})
    old = changed(base, variants={"mock": {}, "vllm": {"version": "0.19.0"}})
    return [
        ("the mock", "mock", base),
        ("another workload", "mock", more),
        ("another port", "mock", changed(base, service={"port": 80})),
        ("the engine", "vllm", base),
        ("another version of the engine", "vllm", old),
        ("another engine", "sglang", base),
        ("back to the mock", "mock", base),
    ]


def test_changes_are_applied_over_each_other(cluster):
    """Workloads, versions and engines follow each other by apply alone; the selector stays."""
    with namespace(cluster.kubectl, "krm-fn-test-change", "baseline") as kube:
        nothing_runs(kube)
        seen = []
        for text, variant, document in steps():
            objects = list(flat(document)[variant])
            kube.apply(objects)
            difference = kube.differences(objects)
            now = kube.json("get", "deployment/qwen3-8b")
            assert difference == "", text
            seen.append((now["metadata"]["generation"], now["spec"]["selector"]))

    assert len({generation for generation, _ in seen}) == len(steps())
    assert {str(selector) for _, selector in seen} == {str(seen[0][1])}


def test_what_is_no_longer_wanted_is_pruned(cluster):
    """An apply set of the mock becomes one of vLLM: its ConfigMap goes, all else stays."""
    env = {**os.environ, "KUBECTL_APPLYSET": "true"}
    words = (*APPLY, "--prune", "--applyset=secrets/qwen3-8b", "-f", "-")
    with namespace(cluster.kubectl, "krm-fn-test-prune") as kube:
        nothing_runs(kube)
        variants = flat(config())
        kube(*words, stdin=stream(variants["mock"]), env=env)
        kube(*words, stdin=stream(variants["vllm"]), env=env)
        kinds = "serviceaccount,networkpolicy,configmap,service,deployment,pdb,hpa"
        left = kube.items(kinds, "app.kubernetes.io/managed-by=krm-fn")

    assert {identity(each) for each in left} == {identity(each) for each in variants["vllm"]}
    assert "configmap/qwen3-8b-config" not in {identity(each) for each in left}


def test_a_foreign_change_is_a_conflict(quiet):
    """Somebody else's field is not overwritten silently: server-side apply says whose it is."""
    kube = quiet["restricted"]
    objects = [only(flat(config())["mock"], "HorizontalPodAutoscaler")]
    kube.apply(objects)
    theirs = moved(objects, kube.namespace)
    theirs[0]["spec"]["maxReplicas"] = 99
    words = ("apply", "--server-side", "--field-manager=somebody", "-f", "-")
    done = kube.attempt(*words, stdin=stream(theirs))
    kube("delete", "hpa/qwen3-8b")

    assert done.returncode == 1
    assert f'conflict with "{MANAGER}"' in done.stderr
