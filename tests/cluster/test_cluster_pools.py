"""A pool of its own for each test: full ones are updated and drained, large ones are filled."""

import pytest
from kube import changed, eventually, namespace, rendered, without
from placing import SELECTOR, placed, pools_of, running, service, unschedulable
from pools import H100, Pool, gfd, nodes

pytestmark = pytest.mark.usefixtures("kwok")
LLAMA_70B = "meta-llama/Llama-3.3-70B-Instruct"


def test_a_full_pool_is_updated_without_a_deadlock(cluster):
    """No GPU is free for a surge, so a pod goes before its successor comes, and the end is reached.

    Nothing but the version of the engine changes between the two applies.
    """
    pool = Pool(name="full", labels=gfd("NVIDIA-L40S"), gpus=1, nodes=3)
    spec = {"gpu": "NVIDIA-L40S", "gpusPerNode": 1, "nodes": 3}
    with (
        nodes(cluster, pool),
        namespace(cluster.kubectl, "krm-fn-test-update") as kube,
    ):
        most = placed(kube, service(**spec))
        kube.rolled_out("qwen3-8b")
        first = {pod["metadata"]["uid"] for pod in running(kube)}
        newer = changed(service(**spec), variants={"vllm": {"version": "0.32.0"}})
        kube.apply(without(rendered(newer)[0].rendering.flat["vllm"], "HorizontalPodAutoscaler"))
        kube.rolled_out("qwen3-8b", 240)
        last = {pod["metadata"]["uid"] for pod in running(kube)}

    assert most == 3
    assert len(first) == len(last) == most
    assert not first & last


@pytest.mark.failure
def test_a_drain_waits_for_the_budget(cluster):
    """Of two pods on a node one may go; the other stays until its predecessor serves elsewhere."""
    pool = Pool(name="drained", labels=gfd("NVIDIA-L40S"), gpus=2, nodes=2)
    spec = {"gpu": "NVIDIA-L40S", "gpusPerNode": 2, "nodes": 2}
    node = "krm-fn-test-drained-0"
    drain = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force")
    with (
        nodes(cluster, pool),
        namespace(cluster.kubectl, "krm-fn-test-drain") as kube,
    ):
        most = placed(kube, service(**spec))
        kube.rolled_out("qwen3-8b")
        refused = kube.attempt(*drain, "--timeout=12s")
        left = len(running(kube))
        with nodes(cluster, Pool(name="spare", labels=pool.labels, gpus=2, nodes=1)):
            done = kube.attempt(*drain, "--timeout=90s")
            eventually(lambda: len(running(kube)) == most, 60)
            found = pools_of(cluster, running(kube), "drained", "spare")

    assert most == 4
    assert "violate the pod's disruption budget" in refused.stdout + refused.stderr
    assert left == most - 1
    assert done.returncode == 0, done.stderr
    assert found == {"drained": 2, "spare": 2}


@pytest.mark.parametrize(
    ("count", "model", "per_node", "product"),
    [
        (5, LLAMA_70B, 8, H100),
        (100, LLAMA_70B, 8, H100),
        (1000, "Qwen/Qwen3-8B", 1, "NVIDIA-L4"),
    ],
    ids=["5-nodes", "100-nodes", "1000-nodes"],
)
def test_pools_of_all_sizes_are_filled(cluster, count, model, per_node, product):
    """The plan's maximum is what the pool holds, node by node, however large it is.

    A name for each size, because kwok loses nodes that are made anew under the same name.
    """
    name = f"large-{count}"
    pool = Pool(name=name, labels=gfd(product), gpus=per_node, nodes=count)
    with (
        nodes(cluster, pool),
        namespace(cluster.kubectl, f"krm-fn-test-{name}") as kube,
    ):
        spec = {"gpu": product, "gpusPerNode": per_node, "nodes": count}
        most = placed(kube, service(model, **spec))
        # not by readiness: a simulated kubelet of many nodes loses it when a heartbeat is late
        eventually(lambda: len(running(kube)) == most, 60 + count / 2, every=5, saying=str(most))
        found = pools_of(cluster, kube.items("pods", SELECTOR), name)
        kube("scale", "deployment/qwen3-8b", f"--replicas={most + 1}")
        messages = eventually(lambda: unschedulable(kube), 60)

    assert found == {name: most}
    assert most >= count
    assert len(messages) == 1
