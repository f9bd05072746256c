from dataclasses import replace

import pytest
from samples import MOCK_SERVER, SGLANG_SERVER, VLLM_SERVER

from krm_fn.resources.container import container, cores, environment, image, lifecycle, resources


@pytest.mark.parametrize(
    ("name", "registry", "expected"),
    [
        ("vllm/vllm-openai:v1", None, "vllm/vllm-openai:v1"),
        ("vllm/vllm-openai:v1", "mirror.example/ai/", "mirror.example/ai/vllm/vllm-openai:v1"),
        ("ghcr.io/llm-d/sim:v1", "mirror.example", "mirror.example/llm-d/sim:v1"),
        ("localhost:5000/sim:v1", "mirror.example", "mirror.example/sim:v1"),
        ("redis:7", "mirror.example", "mirror.example/redis:7"),
    ],
    ids=["no mirror", "Docker Hub", "own registry", "port", "no folder"],
)
def test_a_mirror_takes_the_place_of_the_registry(name, registry, expected):
    assert image(name, registry) == expected


@pytest.mark.parametrize(("count", "text"), [(8, "8"), (8.0, "8"), (0.5, "500m"), (1.25, "1250m")])
def test_cores_are_whole_or_thousandths(count, text):
    assert cores(count) == text


def test_devices_are_equal_and_cpu_has_no_limit():
    needs = resources(VLLM_SERVER, gpu_resource="nvidia.com/mig-1g.10gb")

    assert needs == {
        "requests": {
            "cpu": "8",
            "memory": "96Gi",
            "ephemeral-storage": "20Gi",
            "nvidia.com/mig-1g.10gb": "2",
        },
        "limits": {"memory": "96Gi", "ephemeral-storage": "20Gi", "nvidia.com/mig-1g.10gb": "2"},
    }


def test_unknown_memory_limit_is_left_out():
    """A limit that is not known would kill the engine."""
    server = replace(VLLM_SERVER, memory_limit_bytes=None)

    assert "memory" not in resources(server, gpu_resource="nvidia.com/gpu")["limits"]


def test_a_cache_on_the_node_counts_as_its_disk():
    needs = resources(VLLM_SERVER, gpu_resource="nvidia.com/gpu", node_cache_bytes=50 * 2**30)

    assert needs["requests"]["ephemeral-storage"] == "70Gi"


def test_the_mock_asks_for_no_device():
    assert "nvidia.com/gpu" not in str(resources(MOCK_SERVER, gpu_resource="nvidia.com/gpu"))


def test_environment_is_values_then_fields_then_secrets():
    env = environment(
        (("A", "1"),),
        (("POD_IP", "status.podIP"),),
        (("T", "s", "k", True), ("U", "s", "u", False)),
    )

    assert env == [
        {"name": "A", "value": "1"},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "U", "valueFrom": {"secretKeyRef": {"name": "s", "key": "u"}}},
    ]


@pytest.mark.parametrize(
    "server", [MOCK_SERVER, VLLM_SERVER, SGLANG_SERVER], ids=lambda s: s.engine
)
def test_container_is_called_server_and_listens_on_http(server):
    """One handler a probe, no shell in preStop, the reason of a crash in the status."""
    made = container(server, image="x", resources={"requests": {}}, mounts=())

    assert made["name"] == "server"
    assert made["ports"] == [{"name": "http", "containerPort": 8000, "protocol": "TCP"}]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert made[probe]["httpGet"]["port"] == "http"
    assert made["lifecycle"] == {"preStop": {"sleep": {"seconds": server.pre_stop_seconds}}}
    assert made["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_no_wait_is_no_hook():
    """The API refuses a sleep of 0 before 1.32."""
    assert lifecycle(replace(VLLM_SERVER, pre_stop_seconds=0)) is None
