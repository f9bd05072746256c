"""No variable of a neighbour Service reaches an engine: `VLLM_PORT=tcp://...` kills vLLM."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.errors import Result


def _rule(context: Context) -> Iterator[Result]:
    services = [str(spot.at("metadata").value("name")) for spot in context.of("Service")]
    for container in context.servers:
        spec = container.pod.spec
        if spec.value("enableServiceLinks") is not False:
            clash = next((name for name in services if name in ("vllm", "sglang")), None)
            danger = f": Service {clash} would set {clash.upper()}_PORT" if clash else ""
            message = f"must be false{danger}"
            yield spec.fault(
                message,
                "enableServiceLinks",
                current=spec.value("enableServiceLinks"),
                proposed=False,
            )


CHECK = Check(name="service_links", defects=(9,), rule=_rule)
