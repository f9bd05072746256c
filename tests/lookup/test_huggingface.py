"""Without an answer of the Hub, the way to state the same facts."""

import pytest

from krm_fn.cli import main

hub = pytest.importorskip("huggingface_hub", reason="the extra krm-fn[online] is not installed")
httpx = pytest.importorskip("httpx", reason="the extra krm-fn[online] is not installed")


@pytest.mark.parametrize("fault", [httpx.ConnectError, httpx.ReadTimeout, OSError])
def test_without_a_network_the_same_facts_go_inline(fault, monkeypatch, capsys):
    def unreachable(*_: object, **__: object) -> None:
        raise fault("Name or service not known")

    monkeypatch.setattr(hub.HfApi, "model_info", unreachable)

    assert main(["resolve", "Qwen/Qwen3-8B"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Name or service not known" in said
    assert "give the same facts by hand: `spec.model.config`" in said
