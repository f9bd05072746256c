"""An image is a valid, pinned reference that someone could pull."""

import re
from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.errors import Result, Severity

_REFERENCE = re.compile(
    r"(?P<name>(?:(?:localhost|[A-Za-z0-9-]+(?=[.:])[A-Za-z0-9.-]*)(?::\d+)?/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    r"(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_PLACEHOLDER = re.compile(
    r"replace[-_]?(me|with)|change[-_]?me|your[-_]|<|>|\bTODO\b|xxx", re.IGNORECASE
)
_FLOATING = ("latest", "nightly", "main", "dev")


def _rule(context: Context) -> Iterator[Result]:
    for container in context.containers:
        image = container.value("image")
        for message in image_faults(str(image or "")):
            yield container.fault(message, "image", current=image)
        if not context.floating_tags and _floats(str(image)):
            message = "must be pinned, its tag moves; set allowFloatingTag to allow it"
            severity: Severity = "error" if context.server else "warning"
            yield container.fault(message, "image", current=image, severity=severity)


def image_faults(image: str) -> Iterator[str]:
    """What is wrong with a reference, whether or not its tag moves."""
    match = _REFERENCE.fullmatch(image)
    if _PLACEHOLDER.search(image):
        yield f'must be a real image, not the placeholder "{image}"'
    elif not match:
        yield f'must be a valid image reference, in lower case; is "{image}"'
    elif not match["digest"] and not match["tag"]:
        yield f'must have a tag or a digest; is "{image}"'


def _floats(image: str) -> bool:
    match = _REFERENCE.fullmatch(image)
    return bool(match and not match["digest"] and match["tag"] in _FLOATING)


CHECK = Check(name="images", defects=(11,), rule=_rule)
