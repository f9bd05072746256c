"""An image is a valid, pinned reference that someone could pull."""

import re
from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.errors import Result

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
        for message in _faults(str(image or ""), floating=context.floating_tags):
            yield container.fault(message, "image", current=image)


def _faults(image: str, *, floating: bool) -> Iterator[str]:
    match = _REFERENCE.fullmatch(image)
    if _PLACEHOLDER.search(image):
        yield f'must be a real image, not the placeholder "{image}"'
    elif not match:
        yield f'must be a valid image reference, in lower case; is "{image}"'
    elif not match["digest"] and not match["tag"]:
        yield f'must have a tag or a digest; is "{image}"'
    elif not match["digest"] and match["tag"] in _FLOATING and not floating:
        yield f'must be pinned: the tag "{match["tag"]}" moves; set allowFloatingTag to allow it'


CHECK = Check(name="images", defects=(11,), rule=_rule)
