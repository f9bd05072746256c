"""Order of release names, as engines and CUDA number them."""

import re

_RELEASE = re.compile(
    r"v?(?P<numbers>\d+(?:\.\d+)*)"
    r"(?:\.?(?P<pre>a|b|rc)(?P<pre_number>\d+))?"
    r"(?:\.post(?P<post>\d+))?"
    r"(?:\.dev(?P<dev>\d+))?"
    r"(?:[+-][\w.+-]+)?"
)

ReleaseKey = tuple[tuple[int, ...], tuple[int, int], int, float]


def release_key(release: str) -> ReleaseKey:
    """A key that sorts releases: dev < rc < final < post; `+local` does not count.

    >>> release_key("0.5.13.post1") > release_key("0.5.13") > release_key("0.5.13rc1")
    True
    """
    match = _RELEASE.fullmatch(release)
    if not match:
        raise ValueError(f'must be a release such as "0.33.0" or "0.5.13.post1"; got "{release}"')
    numbers = [int(number) for number in match["numbers"].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    stages = {"a": 0, "b": 1, "rc": 2, None: 3}
    pre = (stages[match["pre"]], int(match["pre_number"] or 0))
    dev = float(match["dev"]) if match["dev"] else float("inf")
    if match["dev"] and not match["pre"] and not match["post"]:
        pre = (-1, 0)
    return tuple(numbers), pre, int(match["post"] or -1), dev


def is_release(text: str) -> bool:
    return _RELEASE.fullmatch(text) is not None
