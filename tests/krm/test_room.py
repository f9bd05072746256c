"""The rule of the room: cheap to load, linear in the size of a package, and of no subject."""

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import toy_function

from krm_fn import krm

HEAVY = {"pydantic", "jsonschema", "kubernetes", "huggingface_hub", "asyncio", "socket", "argparse"}
ROOM = Path(krm.__file__).parent


def test_loading_the_room_loads_nothing_heavy():
    """The function starts anew for each build."""
    program = "import sys, krm_fn.krm; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert not HEAVY & set(loaded.stdout.split())


def test_the_room_knows_no_subject():
    """It would serve any other generator as it is."""
    words = re.compile(r"\b(model|inference|llm|vllm|sglang|gpu|deployment)", re.IGNORECASE)
    found = [
        (path.name, words.findall(text))
        for path in sorted(ROOM.glob("*.py"))
        if words.search(text := path.read_text())
    ]

    assert found == []


def package(count):
    """A ResourceList with `count` toys that each want a file, and as many foreign items."""
    manifests = [
        {
            "apiVersion": "toy.example/v1",
            "kind": "Toy",
            "metadata": {"name": f"toy-{index}"},
            "spec": {"files": {f"{index}/x.yaml": [foreign(f"x-{index}")]}},
        }
        for index in range(count)
    ] + [foreign(f"foreign-{index}") for index in range(count)]
    items = [
        krm.item_of(krm.placed(krm.Document(f"in/{index}.yaml", manifest)))
        for index, manifest in enumerate(manifests)
    ]
    return krm.serialise(krm.ResourceList(items=tuple(items)))


def foreign(name):
    entries = [{"name": f"n{index}", "value": "0644", "list": ["a", "b"]} for index in range(8)]
    metadata = {"name": name, "annotations": {"a": "b"}}
    return {"apiVersion": "v1", "kind": "X", "metadata": metadata, "spec": {"entries": entries}}


def seconds(function, *arguments):
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def test_a_thousand_configs_take_linear_time():
    """Twice as many take about twice as long, and reading costs well under 1 ms an item."""
    small, large = package(250), package(1000)

    def whole(text):
        outcome = krm.run(text, toy_function.transform, owner_key=toy_function.OWNER_KEY)
        assert outcome.exit_code == 0

    assert seconds(krm.parse, large) / 2000 < 1e-3
    assert seconds(whole, large) < 12 * seconds(whole, small)


def test_second_run_on_a_large_package_changes_no_byte():
    """Idempotence of the whole room, without any tool."""
    first = krm.run(package(20), toy_function.transform, owner_key=toy_function.OWNER_KEY)
    second = krm.run(first.text, toy_function.transform, owner_key=toy_function.OWNER_KEY)

    assert second == replace(first, stderr=())
