"""The HPA on the engine's gauges: Prometheus scrapes, the adapter serves, the plan's targets."""

import json
from collections.abc import Iterator
from math import ceil

import pytest
from clients import answer, ask, asking, start
from kube import Kube, Manifest, changed, config, eventually, flat, namespace
from monitoring import NAMESPACE, is_foreign, monitoring, scrapes

NAME, MODEL = "qwen3-8b", "Qwen/Qwen3-8B"
URL = f"http://{NAME}:8000"
SLOTS = 8
USERS = 3 * SLOTS


def document() -> Manifest:
    """A small batch, so that few users fill a replica."""
    return changed(
        config(),
        workload={"inputTokens": 512, "outputTokens": 256, "concurrency": SLOTS},
        serving={"maxNumSeqs": SLOTS},
        monitoring={"namespace": NAMESPACE},
        variants={"mock": {"metric": "engine"}, "vllm": {}},
    )


@pytest.fixture(scope="module")
def served(cluster: Kube) -> Iterator[Kube]:
    """The mock, scaled on its own gauges, with Prometheus and the adapter."""
    if is_foreign(cluster):
        pytest.skip("the custom metrics API of this cluster is served by somebody else")
    with monitoring(cluster), namespace(cluster.kubectl, "krm-fn-test-metrics") as kube:
        kube.apply(flat(document())["mock"])
        start(kube, "client")
        kube.rolled_out(NAME, 120)
        yield kube


def gauge(kube: Kube, name: str) -> list[float]:
    """One value a pod, as the custom metrics API gives it to the HPA."""
    path = f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{kube.namespace}/pods/*/{name}"
    done = kube.attempt("get", "--raw", path)
    found = json.loads(done.stdout)["items"] if done.returncode == 0 else []
    return [number(item["value"]) for item in found]


def number(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def replicas(kube: Kube) -> int:
    return int(kube.json("get", f"deployment/{NAME}")["status"].get("readyReplicas", 0))


def targets(kube: Kube) -> dict[str, float]:
    """Gauge -> the average that the plan asks for."""
    metrics = kube.json("get", f"hpa/{NAME}")["spec"]["metrics"]
    pods = [metric["pods"] for metric in metrics]
    return {each["metric"]["name"]: number(each["target"]["averageValue"]) for each in pods}


def more_than_one_holds(kube: Kube) -> bool:
    return sum(gauge(kube, "vllm_num_requests_running")) > SLOTS


def hurried(kube: Kube) -> None:
    """The waits of the autoscaler, and only those, cut for the test."""
    step = {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}
    behavior = {"scaleUp": step, "scaleDown": {"stabilizationWindowSeconds": 15, **step}}
    patch = json.dumps({"spec": {"behavior": behavior}})
    kube("patch", f"hpa/{NAME}", "--type=merge", "-p", patch)


def test_every_gauge_of_the_plan_is_served(served):
    """Through the NetworkPolicy, which lets the scrapers' namespace in."""
    names = targets(served)
    found = {
        name: eventually(lambda n=name: gauge(served, n), 60, saying=lambda: scrapes(served))
        for name in names
    }

    assert names == {"vllm_num_requests_waiting": names["vllm_num_requests_waiting"]} | {
        "vllm_num_requests_running": SLOTS
    }
    assert found == {name: [0.0] for name in names}


def test_the_autoscaler_follows_the_gauges_of_the_plan(served):
    """Up to what the users need by the plan's own target, and down to one when they are gone."""
    hurried(served)
    wanted = ceil(USERS / targets(served)["vllm_num_requests_running"])
    users = asking(served, "client", "load", URL, MODEL, "200", str(USERS), "90")
    up = eventually(lambda: replicas(served) >= wanted and replicas(served), 100, every=3)
    running = eventually(lambda: more_than_one_holds(served), 30, saying="scraped new pods")
    conditions = served.json("get", f"hpa/{NAME}")["status"]["conditions"]
    found = answer(users, 240)
    eventually(lambda: replicas(served) == 1, 180, every=3, saying="one replica again")

    assert up >= wanted > 1
    assert running
    assert {c["type"]: c["status"] for c in conditions}["ScalingActive"] == "True"
    assert (found["lost"], found["served"] > USERS) == (0, True), found["faults"]


def test_idle_users_do_not_scale(served):
    """A load that one replica carries leaves one."""
    found = ask(served, "client", "load", URL, MODEL, "100", str(SLOTS // 2), "40")

    assert found["lost"] == 0
    assert replicas(served) == 1
