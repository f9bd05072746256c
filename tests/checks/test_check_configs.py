"""What a user may state never trips the checks on our own output."""

import pytest

from krm_fn.errors import KrmFnError
from krm_fn.function import generate
from krm_fn.krm import ResourceList
from krm_fn.krm.item import item_of

SHARED = {"storageClass": "nfs", "accessMode": "ReadWriteMany"}
STATED = {
    "a namespace of its own": {"output": {"namespaceObject": True}},
    "a shared cache": {"storage": SHARED},
    "a cache on the node's disk": {"storage": {"cache": "none"}},
    "one replica": {"scaling": {"maxReplicas": 1}},
    "KEDA": {"scaling": {"owner": "keda"}},
    "fixed replicas": {"scaling": {"owner": "none", "replicas": 3}},
    "a node": {"gpuPool": {"node": {"cpu": "96", "memory": "800Gi", "ephemeralStorage": "500Gi"}}},
    "eight GPUs": {"serving": {"tensorParallelSize": 8}},
    "two copies in a pod": {"serving": {"dataParallelSize": 2}},
    "an address outside": {"service": {"type": "LoadBalancer", "port": 80}},
    "weights on a claim": {"model": {"uri": "pvc://weights/qwen"}},
    "another uid": {"security": {"runAsUser": 3000}},
    "the cluster's uid": {"security": {"runAsUser": None}},
    "spot": {"gpuPool": {"spot": True, "platform": "gke"}},
    "a slice of a GPU": {"gpuPool": {"mig": {"profile": "3g.40gb", "strategy": "mixed"}}},
    "monitoring": {"monitoring": {"podMonitor": True}},
    "no compilation": {"serving": {"enforceEager": True}},
}


@pytest.mark.parametrize("stated", STATED.values(), ids=STATED)
def test_stated_values_pass(stated):
    spec = {"model": {"id": "Qwen/Qwen3-8B"}, "gpuPool": {"gpu": "H100", "nodes": 2}}
    for key, value in stated.items():
        spec[key] = spec.get(key, {}) | value
    config = {
        "apiVersion": "krm-fn.dev/v1alpha1",
        "kind": "LLMService",
        "metadata": {"name": "chat", "namespace": "inference"},
        "spec": spec,
    }
    try:
        results = generate(ResourceList(items=(item_of(config),)), mode="tree").results
    except KrmFnError as fault:
        results = fault.results

    assert [result.line for result in results if result.severity == "error"] == []
