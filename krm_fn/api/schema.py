"""JSON Schema (draft 2020-12) of the three kinds that users write."""

from typing import Any

from pydantic import TypeAdapter

from krm_fn.api.v1alpha1 import GROUP_VERSION, GPUPool, LLMService, ModelCard


def json_schema() -> dict[str, Any]:
    """One schema for any of our documents; the kind decides which."""
    schema = TypeAdapter(LLMService | GPUPool | ModelCard).json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": GROUP_VERSION,
        **_untitled(schema),
    }


def _untitled(node: Any) -> Any:
    """Without the titles that pydantic makes of names: editors show the names already."""
    if isinstance(node, dict):
        return {k: _untitled(v) for k, v in node.items() if k != "title" or isinstance(v, dict)}
    return [_untitled(item) for item in node] if isinstance(node, list) else node
