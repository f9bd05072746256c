"""A model's facts from the Hugging Face Hub: config.json, safetensors index, revision."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from krm_fn.errors import ConfigError, error

INLINE = (
    "give the same facts by hand: `spec.model.config` with the model's config.json, "
    "`spec.model.safetensors: {totalBytes: N}` with `metadata.total_size` of "
    "model.safetensors.index.json, and `spec.model.revision`"
)


@dataclass(frozen=True, kw_only=True)
class HubModel:
    """What the Hub says of one revision. `by_dtype` = parameters by safetensors dtype."""

    id: str
    revision: str
    gated: bool
    config: Mapping[str, Any]
    by_dtype: Mapping[str, int]


BYTES = {"F64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "I16": 2, "I64": 8, "U8": 1, "I8": 1}


def hub_model(model_id: str, revision: str | None = None) -> HubModel:
    """One model; ConfigError with the way out when the Hub cannot be asked."""
    try:
        import huggingface_hub  # noqa: PLC0415  # the extra krm-fn[online]
        from httpx import HTTPError  # noqa: PLC0415  # its transport, from 1.0 on
    except ImportError:
        message = f"`pip install 'krm-fn[online]'` installs what resolve needs; or {INLINE}"
        raise ConfigError([error(message)]) from None
    try:
        return _asked(huggingface_hub, model_id, revision)
    except (huggingface_hub.errors.HfHubHTTPError, HTTPError, OSError, ValueError) as fault:
        reason = str(fault).strip().splitlines()[0][:200] if str(fault).strip() else "no answer"
        message = f'"{model_id}" cannot be looked up: {type(fault).__name__}: {reason}; {INLINE}'
        raise ConfigError([error(message)]) from None


def _asked(hub: Any, model_id: str, revision: str | None) -> HubModel:
    found = hub.HfApi().model_info(model_id, revision=revision)
    file = hub.hf_hub_download(model_id, "config.json", revision=found.sha)
    parameters = found.safetensors.parameters if found.safetensors else {}
    return HubModel(
        id=model_id,
        revision=found.sha,
        gated=bool(found.gated),
        config=json.loads(Path(file).read_text(encoding="utf-8")),
        by_dtype=dict(parameters),
    )


def bytes_by_dtype(parameters: Mapping[str, int]) -> dict[str, int]:
    """Bytes of each dtype; 8-bit floats (`F8_E4M3`) and unknown names count one byte."""
    return {name: count * BYTES.get(name, 1) for name, count in parameters.items()}
