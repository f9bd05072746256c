"""The latencies that the simulator is told."""

import json

import pytest
from asking import objects, one

from krm_fn.engines.mock import _duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0us"), (4.69e-7, "469ns"), (9.9e-6, "9900ns"), (1.2e-5, "12us"), (0.0156, "15600us")],
)
def test_durations_are_whole_and_not_rounded_to_nothing(seconds, text):
    """Go reads both units; only what takes no time is 0."""
    assert _duration(seconds) == text


def test_a_small_embedding_model_reads_its_prompts_in_some_time():
    """No token follows, so that only the time between tokens is 0."""
    model = "sentence-transformers/all-MiniLM-L6-v2"
    found = objects("mock", model, "NVIDIA-L4", pool={"gpusPerNode": 1})
    config = json.loads(one("ConfigMap", found)["data"]["config.json"])

    assert config["prefill-time-per-token"] not in ("0us", "0ns")
    assert config["prefill-overhead"] != "0us"
    assert config["inter-token-latency"] == "0us"
