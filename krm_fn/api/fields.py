"""The words that the functionConfig is made of: its base class, and text with a checked form."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from krm_fn.units import CORES, DURATION, duration_seconds, quantity_cores

Positive = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(gt=0, lt=65536)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]
SERVICE_NAME = r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"
COMMIT = r"^[0-9a-f]{40}$"
URI = r"^(hub|pvc://[^/]+(/.*)?|s3://.+|oci://.+|/.+)$"
DIGEST = r"^sha256:[0-9a-f]{64}$"
HTTP = r"^https?://[^/]+.*$"
ADAPTER_NAME = r"^[A-Za-z0-9][-A-Za-z0-9._]*$"
ADAPTER_ID = r"^[^\s=,]+$"
DRIVER = r"^\d+(\.\d+)*$"
KUBERNETES_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_KEY = rf"^([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_LABEL}$"
LABEL_VALUE = rf"^({_LABEL})?$"
IMAGE = r"^[a-z0-9][-a-z0-9.:/_]*[A-Za-z0-9._:/@-]*[A-Za-z0-9]$"
REGISTRY = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:\d+)?(/[-a-z0-9._]+)*$"
ONE_WORD = r"^\S+$"
Name = Annotated[str, Field(pattern=KUBERNETES_NAME, max_length=253)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE)]


def _checked_duration(text: str) -> str:
    duration_seconds(text)
    return text


def _checked_cores(text: str) -> str:
    quantity_cores(text)
    return text


def _inside_package(text: str) -> str:
    if not text or text.startswith("/") or ".." in text.split("/"):
        raise ValueError(f'must be a path below the package, without ".."; got "{text}"')
    return text


def _form(pattern: str) -> Any:
    """For editors; our own message is said by the validator beside it."""
    return Field(json_schema_extra={"pattern": f"^{pattern}$"})


Duration = Annotated[str, AfterValidator(_checked_duration), _form(f"({DURATION})+")]
Cores = Annotated[str, AfterValidator(_checked_cores), _form(CORES)]
PackagePath = Annotated[str, AfterValidator(_inside_package)]


class Spec(BaseModel):
    """Frozen, strict, camelCase; an unknown key is a fault."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        protected_namespaces=(),
        defer_build=True,  # only what is asked for is built: the function starts for every call
    )


class Ref(Spec):
    name: Name


class SecretRef(Spec):
    """Where a secret value stands; values themselves are never written."""

    name: Name = "hf-token"
    key: str = "HF_TOKEN"
