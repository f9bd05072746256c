from dataclasses import replace

from samples import MOCK_SERVER, VLLM_SERVER

from krm_fn.resources.config import config_map
from krm_fn.resources.metadata import Identity, compact, labels, metadata
from krm_fn.resources.workload import (
    Rollout,
    deployment,
    progress_deadline_seconds,
    strategy,
    template_metadata,
)

SELF = Identity(name="qwen", namespace="ai", part_of="chat")
SHA = "krm-fn.dev/config-sha256"


def test_progress_deadline_is_above_the_startup_budget():
    assert progress_deadline_seconds(VLLM_SERVER) == 1800 + 900
    assert progress_deadline_seconds(replace(VLLM_SERVER, startup_seconds=7200)) > 7200


def test_replicas_stand_only_where_nothing_scales():
    def spec(replicas):
        made = deployment(SELF, server=VLLM_SERVER, pod={}, rollout=Rollout(), replicas=replicas)
        return made["spec"]

    assert "replicas" not in spec(None)
    assert spec(0)["replicas"] == 0


def test_strategies():
    steps = {"maxSurge": 0, "maxUnavailable": 1}

    assert strategy(Rollout(recreate=True)) == {"type": "Recreate"}
    assert strategy(Rollout(max_surge=0, max_unavailable=1)) == {
        "type": "RollingUpdate",
        "rollingUpdate": steps,
    }


def test_changed_files_roll_the_pods():
    """The annotation follows the content, whatever the order of the files."""
    files = (("a", "1"), ("b", "2"))

    def sha(files):
        server = replace(MOCK_SERVER, files=files)
        return template_metadata(SELF, server)["annotations"].get(SHA)

    assert sha(files) == sha(files[::-1])
    assert len({sha(files), sha((("a", "1"), ("b", "3"))), sha((("a", "1b"), ("", "2")))}) == 3
    assert sha(()) is None


def test_config_map_holds_the_files_under_a_plain_name():
    made = config_map(SELF, MOCK_SERVER)

    assert made["metadata"]["name"] == "qwen-config"
    assert made["data"] == dict(MOCK_SERVER.files)


def test_version_is_a_label_of_what_runs_and_never_a_selector():
    made = deployment(SELF, server=VLLM_SERVER, pod={}, rollout=Rollout(), replicas=None)
    key = "app.kubernetes.io/version"

    assert made["metadata"]["labels"][key] == "v0.33.0"
    assert made["spec"]["template"]["metadata"]["labels"][key] == "v0.33.0"
    assert key not in made["spec"]["selector"]["matchLabels"]
    assert key not in metadata(SELF)["labels"]


def test_labels_say_who_and_what():
    assert labels(SELF) == {
        "app.kubernetes.io/name": "qwen",
        "app.kubernetes.io/component": "model-server",
        "app.kubernetes.io/part-of": "chat",
        "app.kubernetes.io/managed-by": "krm-fn",
    }


def test_compact_drops_only_none():
    assert compact(a=None, b=0, c=False, d={}) == {"b": 0, "c": False, "d": {}}
