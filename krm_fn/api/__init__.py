"""The functionConfig: types, defaults, validation. One file per API version.

Rule: pydantic lives here and in `catalog/rows.py` only. After this room nobody asks "is it None, is
it text". It may look names up in the catalogue; it knows no engine and no manifest.
"""

from krm_fn.api.parse import is_ours, parsed, reference, service_document, service_name, value
from krm_fn.api.v1alpha1 import GROUP_VERSION, GPUPool, LLMService, ModelCard

__all__ = [
    "GROUP_VERSION",
    "GPUPool",
    "LLMService",
    "ModelCard",
    "is_ours",
    "parsed",
    "reference",
    "service_document",
    "service_name",
    "value",
]
