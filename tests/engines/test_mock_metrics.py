"""The mock scales on the gauges of the engine that it imitates, if asked to."""

from pathlib import Path

import yaml

from krm_fn import krm
from krm_fn.function import generate
from krm_fn.krm import ResourceList

CONFIG = Path(__file__).parents[2] / "examples" / "quickstart" / "config.yaml"


def autoscaler(metric: str) -> dict:
    document = yaml.safe_load(CONFIG.read_text())
    document["spec"] |= {"variants": {"mock": {"metric": metric}, "vllm": {}}}
    document["spec"]["output"] = {"variant": "mock", "mode": "flat"}
    answer = generate(ResourceList(function_config=krm.item_of(document)))
    (found,) = [item.object for item in answer.items if item.kind == "HorizontalPodAutoscaler"]
    return found


def test_mock_follows_the_targets_of_the_plan():
    """`variants.mock.metric: engine` gives vLLM's two gauges and the plan's averages."""
    metrics = autoscaler("engine")["spec"]["metrics"]
    found = {m["pods"]["metric"]["name"]: m["pods"]["target"]["averageValue"] for m in metrics}

    assert found == {"vllm_num_requests_waiting": "1", "vllm_num_requests_running": "16"}


def test_mock_follows_the_cpu_unless_told_otherwise():
    """Without an adapter the mock still scales."""
    (metric,) = autoscaler("cpu")["spec"]["metrics"]

    assert metric["type"] == "Resource"
