"""Where what was asked for is not what comes of it, the function says so."""

import asking
import pytest

from krm_fn.catalog.models import model_card

CARD = {
    "apiVersion": "krm-fn.dev/v1alpha1",
    "kind": "ModelCard",
    "metadata": {"name": "small"},
    "spec": {"id": "Qwen/Qwen3-0.6B", "config": dict(model_card("Qwen/Qwen3-0.6B").config)},
}


def warned(*documents, field):
    _, said = asking.answer(*documents)
    return [x.message for x in said if x.severity == "warning" and x.field_path == field]


@pytest.mark.parametrize(
    ("kind", "count"), [("LoadBalancer", 1), ("NodePort", 1), ("ClusterIP", 0)]
)
def test_a_service_open_to_all_says_what_access_from_is_worth(kind, count):
    spec = {"service": {"type": kind}, "access": {"from": [{"namespace": "chat"}]}}

    assert len(warned(asking.config(**spec), field="spec.access.from")) == count


@pytest.mark.parametrize(("model", "count"), [("Qwen/Qwen3-8B", 1), ("Qwen/Qwen3-0.6B", 0)])
def test_a_card_of_another_model_is_told(model, count):
    document = asking.config(model, model_spec={"cardRef": {"name": "small"}})

    assert len(warned(document, CARD, field="spec.model.cardRef.name")) == count


@pytest.mark.parametrize(("model", "count"), [("Qwen/Qwen3-8B", 1), ("Qwen/Qwen3-0.6B", 0)])
def test_a_config_of_another_model_is_told(model, count):
    document = asking.config(model, model_spec={"config": CARD["spec"]["config"]})
    found = warned(document, field="spec.model.config")

    assert len(found) == count
    assert all("596,049,920" in each and "8,190,735,360" in each for each in found)
