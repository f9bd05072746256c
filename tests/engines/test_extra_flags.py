"""Flags for what a service asks of an engine beside the model."""

import pytest

from krm_fn.engines import ENGINES, sglang_extras, versions, vllm_extras
from krm_fn.engines.argv import argv_faults
from krm_fn.planner.extras import NO_EXTRAS, Extras

ARGS = {"vllm": vllm_extras.args, "sglang": sglang_extras.args}
IMAGES = Extras(limits=(("image", 4), ("video", 0)))


@pytest.mark.parametrize("engine", ARGS)
def test_nothing_is_said_where_nothing_is_asked_for(engine):
    assert ARGS[engine](NO_EXTRAS) == ()


@pytest.mark.parametrize(
    ("engine", "extras", "args"),
    [
        ("vllm", Extras(prefix_caching=True), ("--enable-prefix-caching",)),
        ("vllm", Extras(prefix_caching=False), ("--no-enable-prefix-caching",)),
        ("vllm", Extras(text_only=True), ("--language-model-only",)),
        ("vllm", IMAGES, ('--limit-mm-per-prompt={"image": 4, "video": 0}',)),
        ("sglang", Extras(prefix_caching=True), ()),
        ("sglang", Extras(prefix_caching=False), ("--disable-radix-cache",)),
        ("sglang", Extras(text_only=True), ("--language-model-only",)),
        ("sglang", IMAGES, ('--limit-mm-data-per-request={"image": 4, "video": 0}',)),
    ],
)
def test_each_engine_has_its_own_words(engine, extras, args):
    assert ARGS[engine](extras) == args


@pytest.mark.parametrize("engine", ARGS)
def test_the_newest_version_takes_all_of_them(engine):
    asked = (Extras(prefix_caching=False, text_only=True), IMAGES)
    newest = versions.newest(engine)

    assert [argv_faults(engine, newest, ARGS[engine](each), "args") for each in asked] == [(), ()]


@pytest.mark.parametrize("engine", ARGS)
def test_what_a_field_needs_is_a_flag_of_some_version(engine):
    for flag in ENGINES[engine].needs.values():
        assert versions.versions_with(engine, flag)
