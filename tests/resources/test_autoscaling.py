from dataclasses import replace

import pytest
from samples import MOCK_SERVER, VLLM_SERVER

from krm_fn.resources.autoscaling import (
    Scaling,
    autoscaler,
    metric_name,
    scaled_object,
    window_seconds,
)
from krm_fn.resources.metadata import Identity

SELF = Identity(name="qwen")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("prometheus-adapter", "vllm_num_requests_waiting"),
        ("keda", "vllm_num_requests_waiting"),
        ("gke", "prometheus.googleapis.com|vllm:num_requests_waiting|gauge"),
    ],
)
def test_metrics_have_the_names_that_are_served(source, expected):
    assert metric_name("vllm:num_requests_waiting", source) == expected


def test_cpu_where_the_server_has_no_gauge():
    spec = autoscaler(SELF, MOCK_SERVER, Scaling(metrics="prometheus-adapter"))["spec"]

    assert [metric["type"] for metric in spec["metrics"]] == ["Resource"]


def test_targets_are_the_averages_of_the_plan():
    spec = autoscaler(SELF, VLLM_SERVER, Scaling(metrics="prometheus-adapter"))["spec"]

    assert [each["pods"]["target"]["averageValue"] for each in spec["metrics"]] == ["4", "96"]


@pytest.mark.parametrize(
    ("startup", "window"),
    [(60, 300), (1800, 1800), (9000, 3600)],
    ids=["at least five minutes", "the startup", "at most what the API allows"],
)
def test_scale_down_waits_as_long_as_a_start_takes(startup, window):
    assert window_seconds(replace(VLLM_SERVER, startup_seconds=startup)) == window


def test_keda_asks_prometheus_for_the_served_model():
    scaling = Scaling(owner="keda", min_replicas=0, max_replicas=4)
    spec = scaled_object(SELF, VLLM_SERVER, scaling, "qwen3-8b")["spec"]

    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 4)
    assert spec["triggers"][0]["metadata"]["query"] == (
        'sum(vllm:num_requests_waiting{model_name="qwen3-8b"})'
    )


def test_keda_does_not_count_the_load_of_other_namespaces():
    own = replace(SELF, namespace="prod")
    spec = scaled_object(own, VLLM_SERVER, Scaling(owner="keda"), "qwen3-8b")["spec"]

    assert spec["triggers"][0]["metadata"]["query"] == (
        'sum(vllm:num_requests_waiting{namespace="prod",model_name="qwen3-8b"})'
    )
