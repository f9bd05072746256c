"""The JSON Schema that an editor uses refuses what the function refuses."""

from copy import deepcopy
from typing import Any

import asking
import pytest
from configs import document
from jsonschema import Draft202012Validator

from krm_fn.api.schema import json_schema

SCHEMA = Draft202012Validator(json_schema())
GOOD = document(
    {
        "model": {"id": "Qwen/Qwen3-8B"},
        "gpuPool": {"gpu": "l40s", "gpusPerNode": 4},
        "workload": {"objectives": {"ttft": "1m30s"}, "concurrency": 8},
        "storage": {"downloadBandwidth": "10Gbit/s"},
    }
)


def with_spec(**spec: Any) -> dict[str, Any]:
    found = deepcopy(GOOD)
    found["spec"] = {k: v for k, v in {**found["spec"], **spec}.items() if v is not None}
    return found


def test_both_take_what_is_right():
    assert SCHEMA.is_valid(GOOD)
    assert asking.answer(GOOD)[0]


@pytest.mark.parametrize(
    "spec",
    [
        {"workload": {"objectives": {"ttft": "500"}}},
        {"workload": {"requestsPerSecond": 2.0, "concurrency": 2}},
        {"workload": {"requestsPerSecond": 1e300}},
        {"workload": {"concurrency": 10**30}},
        {"storage": {"downloadBandwidth": "100"}},
        {"gpuPool": None},
        {"gpuPoolRef": {"name": "other"}},
        {"gpuPool": {"gpu": "l40s", "node": {"cpu": "many"}}},
        {"gpuPool": {"gpu": "l40s", "node": {"memory": "much"}}},
    ],
)
def test_both_refuse_what_is_wrong(spec):
    wrong = with_spec(**spec)

    assert not SCHEMA.is_valid(wrong)
    assert asking.answer(wrong)[0] == []
