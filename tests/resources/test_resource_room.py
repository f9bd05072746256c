"""Rules of the room that a reader could grep for."""

import re
from pathlib import Path

import pytest

import krm_fn.resources

ROOM = Path(krm_fn.resources.__file__).parent
FILES = sorted(ROOM.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_engine_is_known_by_name(file):
    """Engines and targets differ by values, not by branches here."""
    text = file.read_text()

    assert not re.search(r"vllm|sglang", text, re.IGNORECASE)
    assert not re.search(r"if .*(engine|target) ==", text)
