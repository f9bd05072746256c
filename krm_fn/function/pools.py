"""GPUs that several services take from one pool: summed, and what is left is shared out."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from krm_fn.errors import Result, error
from krm_fn.function.facts import Facts
from krm_fn.function.intake import Key
from krm_fn.planner.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A service and its plans, one per GPU variant."""

    facts: Facts
    plans: tuple[Plan, ...]

    @property
    def gpus(self) -> int:
        """GPUs of the planned replicas, of the variant that takes most; a stated maximum counts."""
        stated = self.facts.service.spec.scaling.max_replicas or 0
        taken = (p.gpus_per_replica * max(p.replicas, stated) for p in self.plans)
        return max(taken, default=0)

    @property
    def shown(self) -> tuple[Plan, ...]:
        """Plans of variants that were asked for; a mock alone has one only to imitate."""
        names = {variant.name for variant in self.facts.planned}
        return tuple(plan for plan in self.plans if plan.variant in names)

    @property
    def feasible(self) -> bool:
        return all(plan.feasible for plan in self.plans)


def shared_out(planned: Sequence[Planned]) -> tuple[Planned, ...]:
    """Maxima that fit the pool together: its own replicas, and an equal part of what is left."""
    pools = _by_pool(planned)
    return tuple(_bounded(each, pools.get(each.facts.pool_key, ())) for each in planned)


def pool_faults(planned: Sequence[Planned]) -> Iterator[Result]:
    """A pool that the planned replicas of its services exceed."""
    for key, members in _by_pool(planned).items():
        total, wanted = _total(members[0]), sum(each.gpus for each in members)
        if wanted > total:
            parts = ", ".join(f"{m.facts.service.metadata.name} {m.gpus}" for m in members)
            yield error(
                f"the services need {wanted} GPUs together ({parts}); the pool has {total}: add "
                "nodes, lower a load, or move a service to another pool",
                "spec.nodes",
                current=total,
                proposed=wanted,
                resource={
                    "apiVersion": "krm-fn.dev/v1alpha1",
                    "kind": "GPUPool",
                    "name": key[1] if key else "",
                },
            )


def _by_pool(planned: Sequence[Planned]) -> Mapping[Key | None, list[Planned]]:
    """Pools with several services; those alone have the whole share."""
    found: dict[Key | None, list[Planned]] = defaultdict(list)
    for each in planned:
        if each.facts.pool_key:
            found[each.facts.pool_key].append(each)
    return {key: members for key, members in found.items() if len(members) > 1}


def _total(member: Planned) -> int:
    pool = member.facts.pool
    return pool.share or pool.gpus_per_node * pool.nodes


def _bounded(each: Planned, members: Sequence[Planned]) -> Planned:
    if not members:
        return each
    spare = max(0, _total(each) - sum(member.gpus for member in members)) // len(members)
    return replace(each, plans=tuple(_with_room(plan, each.gpus + spare) for plan in each.plans))


def _with_room(plan: Plan, gpus: int) -> Plan:
    room = max(plan.replicas, gpus // plan.gpus_per_replica)
    return replace(plan, max_replicas=min(plan.max_replicas, room))
