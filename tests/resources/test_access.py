import pytest
from samples import MOCK_SERVER

from krm_fn.resources.access import namespace, network_policy, service_account
from krm_fn.resources.disruption import disruption_budget
from krm_fn.resources.metadata import Identity
from krm_fn.resources.monitoring import pod_monitor

SELF = Identity(name="qwen")


def policy(callers=(), *, downloads=False, port=8000):
    return network_policy(SELF, callers=callers, downloads=downloads, port=port)["spec"]


def test_callers_are_the_own_namespace_and_the_stated_ones():
    (rule,) = policy(("apps",))["ingress"]

    assert rule["from"] == [
        {"podSelector": {}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "apps"}}},
    ]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8000}]


def test_a_service_with_an_outside_address_is_open():
    assert policy(None)["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8000}]}]


def test_a_pod_without_port_listens_to_nobody():
    assert policy(port=None)["ingress"] == []


def test_egress_is_dns_alone_unless_something_is_downloaded():
    (dns,) = policy()["egress"]

    assert "to" not in dns
    assert {(each["protocol"], each["port"]) for each in dns["ports"]} == {("UDP", 53), ("TCP", 53)}


def test_downloads_never_reach_the_metadata_addresses():
    https = policy(downloads=True)["egress"][1]

    assert https["ports"] == [{"protocol": "TCP", "port": 443}]
    assert [peer["ipBlock"]["except"] for peer in https["to"]] == [
        ["169.254.169.254/32"],
        ["fd00:ec2::254/128"],
    ]


def test_account_has_no_token():
    assert service_account(SELF)["automountServiceAccountToken"] is False


def test_budget_lets_pods_go_that_are_still_loading():
    spec = disruption_budget(SELF)["spec"]

    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_monitor_asks_the_port_by_name():
    (endpoint,) = pod_monitor(SELF, MOCK_SERVER)["spec"]["podMetricsEndpoints"]

    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")


@pytest.mark.parametrize("level", ["restricted", "baseline"])
def test_namespace_enforces_the_level(level):
    made = namespace("ai", level)["metadata"]

    assert made["labels"]["pod-security.kubernetes.io/enforce"] == level
