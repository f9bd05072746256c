"""Images by version, vendor and GPU, and what they cannot run on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krm_fn.catalog.gpus import gpu
from krm_fn.catalog.images import image, image_faults, image_reference
from krm_fn.catalog.releases import is_release, release_key


@pytest.mark.parametrize(
    ("engine", "version", "card", "reference"),
    [
        ("vllm", "0.33.0", "h100", "vllm/vllm-openai:v0.33.0"),
        ("vllm", "0.19.0", "mi300x", "vllm/vllm-openai-rocm:v0.19.0"),
        ("sglang", "0.5.23", "h100", "lmsysorg/sglang:v0.5.23"),
        ("sglang", "0.4.9.post6", "h100", "lmsysorg/sglang:v0.4.9.post6-cu126"),
        ("sglang", "0.5.9", "mi355x", "lmsysorg/sglang:v0.5.9-rocm700-mi35x"),
        ("mock", "0.10.2", "h100", "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2"),
    ],
)
def test_reference(engine, version, card, reference):
    board = gpu(card)
    row = image(engine, version, board.vendor)
    assert row.source
    assert image_reference(row, version, board) == reference


@pytest.mark.parametrize(
    ("version", "cuda"),
    [
        ("0.9.2", "12.8"),
        ("0.11.2", "12.9"),
        ("0.19.1", "12.9"),
        ("0.20.0", "13.0"),
        ("1.0", "13.0"),
    ],
)
def test_cuda_of_vllm(version, cuda):
    assert image("vllm", version).cuda == cuda


def test_older_than_all_rows():
    assert image("vllm", "0.8.5") is None
    assert image("vllm", "0.13.0", "amd") is None


@pytest.mark.parametrize(
    ("engine", "version", "card", "driver", "found"),
    [
        ("vllm", "0.33.0", "h100", "580.65", []),
        ("vllm", "0.33.0", "h100", None, []),
        ("vllm", "0.33.0", "v100", None, [("error", "choose a version before 0.20.0")]),
        ("vllm", "0.19.0", "v100", "580", []),
        ("vllm", "0.33.0", "h100", "550", [("warning", "forward compatibility")]),
        ("vllm", "0.33.0", "rtx4090", "550", [("error", "driver 580 or newer")]),
        ("vllm", "0.33.0", "h100", "525.1", [("error", "driver 580 or newer")]),
        ("vllm", "0.33.0", "gb200", "580", []),
        ("vllm", "0.9.2", "gh200", "580", [("warning", "known for amd64 only")]),
        ("sglang", "0.5.2", "b200", None, [("error", "choose a newer version")]),
        ("sglang", "0.5.9", "v100", None, [("error", "needs 7.5 or newer")]),
        ("sglang", "0.5.23", "mi300x", None, [("warning", "not confirmed after 0.5.19")]),
        ("sglang", "0.5.16", "mi250", None, [("error", "built for gfx942, gfx950")]),
    ],
)
def test_faults(engine, version, card, driver, found):
    board = gpu(card)
    row = image(engine, version, board.vendor)
    faults = image_faults(row, version, board, driver)
    assert [fault.severity for fault in faults] == [severity for severity, _ in found]
    assert all(words in fault.message for fault, (_, words) in zip(faults, found, strict=True))


def test_releases_are_in_order():
    ordered = "0.4.9 0.4.9.post6 0.5.0rc1 0.5 0.5.2 0.5.10 0.5.13 0.5.13.post1 0.5.14.dev1 0.5.14"
    keys = [release_key(name) for name in ordered.split()]
    assert keys == sorted(keys)
    assert release_key("v0.19.0+cu130") == release_key("0.19")


@given(st.lists(st.integers(0, 99), min_size=1, max_size=4), st.integers(0, 9))
def test_a_post_release_follows(numbers, post):
    name = ".".join(map(str, numbers))
    assert release_key(f"{name}.post{post}") > release_key(name) > release_key(f"{name}rc1")


@pytest.mark.parametrize("text", ["latest", "", "0.33.x", "0..1", "nightly"])
def test_no_release(text):
    assert not is_release(text)
    with pytest.raises(ValueError, match="must be a release"):
        release_key(text)
