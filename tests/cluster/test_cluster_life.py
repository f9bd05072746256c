"""From the manifests of every release to the present ones by apply alone; what removal leaves."""

from pathlib import Path

import pytest
import yaml
from kube import Kube, changed, config, flat, identity, moved, namespace, nothing_runs, only, stream

# one folder a release, `kubectl kustomize overlays/VARIANT` of its tag; see CONTRIBUTING.md
RELEASES = Path(__file__).parent / "releases"
OLD = sorted(RELEASES.glob("*/*.yaml"))
KINDS = "deployment,service,serviceaccount,configmap,hpa,pdb,networkpolicy,job,pvc"
OURS = "app.kubernetes.io/managed-by=krm-fn"


def release_id(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


@pytest.mark.parametrize("path", OLD, ids=release_id)
def test_a_release_is_upgraded_by_apply_alone(cluster: Kube, path: Path):
    """Nothing is refused, nothing has to be deleted, and no difference is left."""
    with namespace(cluster.kubectl, "krm-fn-test-upgrade", "baseline") as kube:
        nothing_runs(kube)
        old = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        kube.apply(moved(old, kube.namespace))
        before = kube.json("get", "deployment/qwen3-8b")["spec"]["selector"]
        now = flat(config())[path.stem]
        kube.apply(now)
        after = kube.json("get", "deployment/qwen3-8b")["spec"]["selector"]

        assert kube.differences(now) == ""
        assert before == after


def test_every_variant_of_every_release_is_there():
    """A release that lacks one would be upgraded unseen."""
    assert {path.parent for path in OLD} == set(RELEASES.iterdir())
    assert {path.stem for path in OLD} >= set(flat(config()))


def test_removal_leaves_the_claim_alone(cluster: Kube):
    """Those who delete by a list of objects leave the claim out; it says so in their own words."""
    document = changed(config(), storage={"cache": "claim", "accessMode": "ReadWriteMany"})
    objects = flat(document)["vllm"]
    claim = only(objects, "PersistentVolumeClaim")
    gone = [each for each in objects if each["kind"] != "PersistentVolumeClaim"]
    with namespace(cluster.kubectl, "krm-fn-test-removal", "baseline") as kube:
        nothing_runs(kube)
        kube.apply(objects)
        kube("delete", "-f", "-", "--wait=true", stdin=stream(moved(gone, kube.namespace)))
        left = {identity(each) for each in kube.items(KINDS, OURS)}

    assert left == {f"persistentvolumeclaim/{claim['metadata']['name']}"}
    assert set(claim["metadata"]["annotations"]) >= {
        "argocd.argoproj.io/sync-options",
        "client.lifecycle.config.k8s.io/deletion",
        "kustomize.toolkit.fluxcd.io/prune",
    }
