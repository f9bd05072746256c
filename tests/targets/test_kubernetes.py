"""The objects of each variant, and the tree that builds to them."""

from collections import Counter
from dataclasses import replace

import pytest
from builds import built, by_name, written
from samples import (
    CLAIM,
    EPHEMERAL,
    MOCK,
    PREFETCH,
    SERVICE,
    SGLANG,
    SHARED,
    VARIANTS,
    VLLM,
)
from schemas import faults

from krm_fn.resources.access import Access
from krm_fn.resources.autoscaling import Scaling
from krm_fn.resources.pod import Images, Security
from krm_fn.resources.storage import Cache, WeightsClaim
from krm_fn.resources.workload import Rollout
from krm_fn.targets import TARGETS

BASE_KINDS = [
    "ServiceAccount",
    "NetworkPolicy",
    "ConfigMap",
    "Service",
    "Deployment",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
]
SERVICES = {
    "ephemeral": SERVICE,
    "claim": replace(SERVICE, cache=CLAIM),
    "shared cache": replace(SERVICE, cache=SHARED),
    "node disk": replace(SERVICE, cache=Cache()),
    "weights on a claim": replace(
        SERVICE, weights=WeightsClaim(name="models", path="/weights", sub_path="qwen")
    ),
    "namespace object": replace(SERVICE, namespace="ai", namespace_object=True),
    "OpenShift": replace(SERVICE, security=Security(run_as_user=None)),
    "load balancer": replace(SERVICE, type="LoadBalancer", port=80),
    "everything on": replace(
        SERVICE,
        namespace="ai",
        part_of="chat",
        cache=SHARED,
        pod_monitor=True,
        access=Access(namespaces=("apps", "monitoring")),
        images=Images(registry="mirror.example/ai", pull_secrets=("mirror",)),
    ),
    "no policy": replace(SERVICE, access=Access(network_policy=False)),
}
KEDA = Scaling(owner="keda", min_replicas=0, max_replicas=4, metrics="keda")
OTHERS = (
    replace(VLLM, name="vllm-prefetched", prefetch=PREFETCH),
    replace(VLLM, name="vllm-keda", scaling=KEDA),
    replace(VLLM, name="vllm-fixed", scaling=Scaling(owner="none", replicas=3)),
    replace(SGLANG, name="sglang-one", rollout=Rollout(recreate=True)),
    replace(VLLM, name="vllm-local", server=replace(VLLM.server, cache_path=None)),
)


def rendering(service, variants=VARIANTS):
    return TARGETS["kubernetes"].render(service, variants)


def kinds(objects):
    return [each["kind"] for each in objects]


def deployment(service, variant):
    (each,) = (
        each
        for each in rendering(service, (variant,)).flat[variant.name]
        if each["kind"] == "Deployment"
    )
    return each


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_overlays_build_to_the_flat_objects(service, kubectl, tmp_path):
    """`kubectl kustomize overlays/X` equals the flat objects of X, lists in order too."""
    shapes = rendering(service, (*VARIANTS, *(OTHERS if service.cache == SHARED else ())))
    folder = written(shapes.tree, tmp_path)

    for name, objects in shapes.flat.items():
        assert built(kubectl, folder / "overlays" / name) == by_name(objects), name


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_objects_are_valid(service):
    """Strict schemas of three Kubernetes versions and the custom kinds' definitions."""
    shapes = rendering(service, (*VARIANTS, *OTHERS))

    assert [
        fault for objects in shapes.flat.values() for each in objects for fault in faults(each)
    ] == []


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_no_object_is_used_twice(service):
    """A shared dict would become a YAML alias, which kustomize refuses."""
    seen = []

    def walk(node):
        if isinstance(node, dict | list):
            seen.append(id(node))
            for each in node.values() if isinstance(node, dict) else node:
                walk(each)

    shapes = rendering(service)
    for objects in shapes.flat.values():
        for each in objects:
            walk(each)

    assert [count for count in Counter(seen).values() if count > 1] == []


def test_base_is_the_mock_and_runs_anywhere():
    """Seven core objects; no claim, no GPU, no selector, no custom kind even if monitored."""
    service = replace(SERVICE, cache=CLAIM, pod_monitor=True)
    base = rendering(service).flat["mock"]

    assert kinds(base) == BASE_KINDS
    pod = by_name(base)["Deployment", "qwen3-8b"]["spec"]["template"]["spec"]
    assert not {"nodeSelector", "tolerations", "runtimeClassName"} & pod.keys()
    assert "nvidia.com/gpu" not in str(pod)
    assert all("persistentVolumeClaim" not in volume for volume in pod["volumes"])


def test_engine_objects_come_in_a_fixed_order():
    service = replace(SERVICE, namespace="ai", namespace_object=True, cache=SHARED)
    variant = replace(VLLM, prefetch=PREFETCH)

    assert kinds(rendering(replace(service, pod_monitor=True), (variant,)).flat["vllm"]) == [
        "Namespace",
        "ServiceAccount",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "NetworkPolicy",
        "Job",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "PodMonitor",
    ]


def test_tree_has_one_object_a_file_and_inline_patches():
    shapes = rendering(replace(SERVICE, cache=CLAIM))
    folders = Counter(document.path.rpartition("/")[0] for document in shapes.tree)

    assert folders == {"base": 8, "overlays/mock": 1, "overlays/vllm": 2, "overlays/sglang": 2}
    paths = [document.path for document in shapes.tree]
    assert "base/horizontalpodautoscaler.yaml" in paths
    assert "overlays/vllm/persistentvolumeclaim.yaml" in paths


def test_the_mock_overlay_is_just_the_base():
    tree = {document.path: document.manifest for document in rendering(SERVICE).tree}

    assert tree["overlays/mock/kustomization.yaml"] == {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "metadata": {"annotations": {"config.kubernetes.io/local-config": "true"}},
        "resources": ["../../base"],
    }


def test_only_kustomizations_are_local_config():
    """Kustomize would drop a base object that is marked so."""
    marked = [
        document.manifest["kind"]
        for document in rendering(SERVICE).tree
        if "local-config" in str(document.manifest["metadata"])
    ]

    assert set(marked) == {"Kustomization"}
    assert len(marked) == 4


def test_without_a_mock_the_first_variant_is_the_base(kubectl, tmp_path):
    shapes = rendering(SERVICE, (VLLM, SGLANG))
    folder = written(shapes.tree, tmp_path)

    assert built(kubectl, folder / "base") == by_name(shapes.flat["vllm"])
    assert built(kubectl, folder / "overlays/sglang") == by_name(shapes.flat["sglang"])


def test_a_base_that_nobody_asked_for_has_no_overlay():
    shapes = rendering(SERVICE, (VLLM, replace(MOCK, only_base=True)))
    paths = [document.path for document in shapes.tree]

    assert list(shapes.flat) == ["vllm"]
    assert "base/configmap.yaml" in paths
    assert not any(path.startswith("overlays/mock") for path in paths)


def test_every_object_has_the_namespace_if_stated():
    flat = rendering(replace(SERVICE, namespace="ai", cache=CLAIM)).flat

    for objects in flat.values():
        assert {each["metadata"]["namespace"] for each in objects} == {"ai"}


@pytest.mark.parametrize(
    ("variant", "security", "level"),
    [
        (VLLM, Security(), "restricted"),
        (SGLANG, Security(), "baseline"),
        (SGLANG, Security(run_as_user=None), "restricted"),
        (VLLM, Security(profile="baseline"), "baseline"),
    ],
    ids=["vllm", "sglang as root", "sglang on OpenShift", "as asked"],
)
def test_namespace_object_has_the_level_that_its_pods_pass(variant, security, level):
    service = replace(SERVICE, namespace="ai", namespace_object=True, security=security)
    space = rendering(service, (variant,)).flat[variant.name][0]

    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == level


@pytest.mark.parametrize("variant", [MOCK, VLLM], ids=["mock", "vllm"])
def test_pods_pass_pod_security_restricted(variant):
    pod = deployment(SERVICE, variant)["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    allowed = {"configMap", "emptyDir", "ephemeral", "persistentVolumeClaim"}
    assert all(volume.keys() - {"name"} <= allowed for volume in pod["volumes"])


def test_openshift_gets_no_uid():
    service = replace(SERVICE, security=Security(run_as_user=None))
    context = deployment(service, VLLM)["spec"]["template"]["spec"]["securityContext"]

    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_root_image_is_not_called_non_root():
    context = deployment(SERVICE, SGLANG)["spec"]["template"]["spec"]["securityContext"]

    assert context == {"seccompProfile": {"type": "RuntimeDefault"}}


def test_selectors_are_the_same_two_labels_everywhere():
    """Deployment, Service, budget, policy, spread and monitor select the template's labels."""
    objects = by_name(rendering(replace(SERVICE, pod_monitor=True), (VLLM,)).flat["vllm"])
    expected = {
        "app.kubernetes.io/name": "qwen3-8b",
        "app.kubernetes.io/component": "model-server",
    }
    spec = {kind: each["spec"] for (kind, _), each in objects.items() if "spec" in each}
    pod = spec["Deployment"]["template"]

    assert spec["Service"]["selector"] == expected
    assert spec["NetworkPolicy"]["podSelector"] == {"matchLabels": expected}
    assert spec["PodDisruptionBudget"]["selector"] == {"matchLabels": expected}
    assert spec["PodMonitor"]["selector"] == {"matchLabels": expected}
    assert spec["Deployment"]["selector"] == {"matchLabels": expected}
    spread = pod["spec"]["topologySpreadConstraints"][0]
    assert spread["labelSelector"] == {"matchLabels": expected}
    assert expected.items() <= pod["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("owner", "kind", "replicas"),
    [
        ("hpa", "HorizontalPodAutoscaler", None),
        ("keda", "ScaledObject", None),
        ("none", None, 2),
    ],
)
def test_replicas_have_one_owner(owner, kind, replicas):
    variant = replace(VLLM, scaling=Scaling(owner=owner, replicas=2, max_replicas=4))
    objects = rendering(SERVICE, (variant,)).flat["vllm"]
    scalers = {"HorizontalPodAutoscaler", "ScaledObject"} & set(kinds(objects))

    assert scalers == ({kind} if kind else set())
    assert deployment(SERVICE, variant)["spec"].get("replicas") == replicas


def test_cache_kinds_decide_the_volume():
    def source(service):
        pod = deployment(service, VLLM)["spec"]["template"]["spec"]
        (volume,) = (each for each in pod["volumes"] if each["name"] == "weights")
        return next(key for key in volume if key != "name")

    assert source(replace(SERVICE, cache=CLAIM)) == "persistentVolumeClaim"
    assert source(replace(SERVICE, cache=EPHEMERAL)) == "ephemeral"
    assert source(replace(SERVICE, cache=Cache())) == "emptyDir"


def test_prefetch_job_downloads_and_the_engines_do_not():
    """Engines wait for the Job and need no HTTPS; the Job runs on the same nodes, without GPU."""
    variant = replace(VLLM, prefetch=PREFETCH)
    objects = rendering(replace(SERVICE, cache=SHARED), (variant,)).flat["vllm"]
    policies = {each["metadata"]["name"]: each for each in objects if "Policy" in each["kind"]}
    (job,) = (each for each in objects if each["kind"] == "Job")
    pod = job["spec"]["template"]["spec"]
    engine = by_name(objects)["Deployment", "qwen3-8b"]["spec"]["template"]["spec"]

    assert "443" not in str(policies["qwen3-8b"]["spec"]["egress"])
    assert "443" in str(policies["qwen3-8b-prefetch"]["spec"]["egress"])
    assert policies["qwen3-8b-prefetch"]["spec"]["ingress"] == []
    assert pod["nodeSelector"] == engine["nodeSelector"]
    assert pod["tolerations"] == engine["tolerations"]
    assert "nvidia.com/gpu" not in pod["containers"][0]["resources"]["requests"]
    assert [each["name"] for each in engine["initContainers"]] == ["wait-for-weights"]


def test_prefetch_needs_a_shared_cache():
    variant = replace(VLLM, prefetch=PREFETCH)

    assert "Job" not in kinds(rendering(replace(SERVICE, cache=CLAIM), (variant,)).flat["vllm"])
