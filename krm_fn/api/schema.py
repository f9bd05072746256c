"""JSON Schema (draft 2020-12) of the three kinds that users write."""

from typing import Any

from pydantic import TypeAdapter

from krm_fn.api.v1alpha1 import GPUPool, LLMService, ModelCard


def json_schema() -> dict[str, Any]:
    """One schema for any of our documents; the kind decides which."""
    schema = TypeAdapter(LLMService | GPUPool | ModelCard).json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "krm-fn.dev/v1alpha1",
        **schema,
    }
