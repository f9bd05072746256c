"""The weights of one GPU, class by class: parameters x bytes, scales, padding."""

from collections import defaultdict
from dataclasses import dataclass, field

from krm_fn.catalog.shape import ModelShape, Quantization
from krm_fn.planner.limits import rotary_factor
from krm_fn.planner.memory_term import MemoryTerm, count
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.planner.storage import allocated, loaded_itemsize, parameter
from krm_fn.planner.stored import Stored, layout, stored_layers
from krm_fn.planner.tensor import Tensor
from krm_fn.planner.terms import Terms
from krm_fn.planner.weights import (
    Split,
    absorbed_bytes,
    files_factor,
    local_size,
    part_bytes,
    rope_bytes,
    split_of,
)

TOLERANCE = 0.005
"""Of a share: vocabularies and experts are filled up a little."""
SHAPE = "tensor shapes of the architecture, planner/tensors.py"


@dataclass(slots=True)
class Held:
    """What one GPU holds of a class: `values` = bits of a parameter -> how many of them, `shapes` =
    whole tensor, as a product, -> how often the stage has it, `shares` = part of a tensor -> names
    of those that this GPU has such a part of, `copies` = bytes of a 16-bit copy -> how many,
    `scaled` = what shares a scale, `tiles` = bytes that fill up those of an experts' kernel.
    """

    parameters: int = 0
    shapes: dict[str, int] = field(default_factory=dict)
    values: dict[float, int] = field(default_factory=dict)
    shares: dict[float, dict[str, None]] = field(default_factory=dict)
    scales: int = 0
    scaled: dict[str, None] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    tiles: float = 0.0
    total: int = 0

    @property
    def local(self) -> int:
        return sum(self.values.values())


def weight_terms(
    question: Question, parallelism: Parallelism, serving: Serving, terms: Terms
) -> tuple[MemoryTerm, ...]:
    """One line per tensor class of the stage, the rotary tables, and what the files add."""
    shape = question.shape
    held = held_by_class(question, parallelism, serving, terms)
    lines = [
        MemoryTerm(
            field=f"weights_bytes.{name}", amount=of.total, formula=formula(of), source=SHAPE
        )
        for name, of in held.items()
    ]
    found = sum(of.total for of in held.values())
    files = round(found * files_factor(shape, question.checkpoint_bytes)) - found
    if files:
        known = f"{question.checkpoint_bytes:,} B" if question.checkpoint_bytes else ""
        why = f"what the files ({known}) hold beside these tensors, dealt out in proportion"
        lines.append(MemoryTerm(field="weights_bytes.files", amount=files, formula=why))
    factor = rotary_factor(question.engine, shape.architecture)
    table = rotary(shape, factor, loaded_itemsize(shape.dtype, serving.dtype))
    return (*lines, *((table,) if table.amount else ()))


def rotary(shape: ModelShape, factor: int, itemsize: int) -> MemoryTerm:
    tables = shape.rope_caches or ((shape.max_position_embeddings, shape.rope_dims),)
    parts = " + ".join(
        f"{count(factor * at)} positions x {dims} x {itemsize} B" for at, dims in tables
    )
    size = factor * rope_bytes(shape, itemsize)
    return MemoryTerm(
        field="weights_bytes.rotary",
        amount=size,
        formula=f"{parts} = {count(size)} B, on every GPU",
        source="cosines and sines of each distinct rotary embedding",
    )


def held_by_class(
    question: Question, parallelism: Parallelism, serving: Serving, terms: Terms
) -> dict[str, Held]:
    """Class -> what one GPU of the stage holds."""
    shape = question.shape
    kinds, order, first, last = stored_layers(shape, layout(shape, serving.quantization))
    by = split_of(question, parallelism)
    itemsize = loaded_itemsize(shape.dtype, serving.dtype)
    found: dict[str, Held] = defaultdict(Held)
    stage = [kinds[kind] for kind in order[terms.first : terms.last]]
    if terms.first == 0:
        stage.insert(0, first)
    if terms.last == len(order):
        stage.append(last)
        tied = shape.tie_word_embeddings and shape.lm_head
        stage += [first[:1]] if parallelism.pipeline > 1 and tied else []
    for pairs in stage:
        _add(found, pairs, by, itemsize)
    return dict(found)


def _add(found: dict[str, Held], pairs: Stored, by: Split, itemsize: int) -> None:
    """Adds the tensors of one layer, or of one end of the model."""
    sizes: dict[tuple[str, str, int], int] = defaultdict(int)
    for tensor, stored in pairs:
        held = found[tensor.cls]
        rows, columns, copies = local_size(tensor, by)
        bits = _bits(tensor, stored, itemsize)
        held.parameters += tensor.parameters
        if tensor.parameters:
            text = product(tensor)
            held.shapes[text] = held.shapes.get(text, 0) + 1
        held.values[bits] = held.values.get(bits, 0) + rows * columns * copies
        if tensor.parameters:
            part = round(rows * columns * copies / tensor.parameters, 4)
            held.shares.setdefault(part, {})[_name(tensor)] = None
        parts = part_bytes((tensor, stored), by, itemsize)
        held.tiles += parts[0] - rows * columns * copies * bits / 8
        held.scales += sum(parts[1:])
        if stored and any(parts[1:]):
            held.scaled[_scaled(stored)] = None
        copy = absorbed_bytes(((tensor, stored),), by)
        if copy:
            held.copies[copy] = held.copies.get(copy, 0) + 1
            held.total += copy
        for part, size in enumerate(parts):
            sizes[tensor.cls, parameter(tensor.name), part] += size
    for (cls, _, _), size in sizes.items():
        found[cls].total += allocated(size)


def _bits(tensor: Tensor, stored: Quantization | None, itemsize: int) -> float:
    return stored.bits if stored and stored.bits < 16 else 8 * (tensor.itemsize or itemsize)


def _scaled(stored: Quantization) -> str:
    """`4 B per 128 x 128`: of which values of a matrix share a scale; see storage.parts."""
    per = "row"
    if stored.block:
        per = f"{stored.block[0]} x {stored.block[1]}"
    elif stored.group_size:
        per = f"{stored.group_size} of a row"
    zeros = f" and {stored.bits:g} bits of zero point" if stored.zero_points else ""
    order = " and 4 B per column" if stored.desc_act else ""
    return f"{stored.scale_bytes:g} B{zeros} per {per}{order}"


def formula(held: Held) -> str:
    """`2 x (q_proj 16 x 32) = 1,024 parameters, of which this GPU holds 1/2: 512 x 2 B = ...`."""
    values = {bits: number for bits, number in held.values.items() if number}
    parts = [f"{count(number)} x {bits / 8:g} B" for bits, number in values.items()]
    if held.scales:
        parts.append(f"{count(held.scales)} B of scales ({' or '.join(held.scaled)})")
    copied = sum(size * times for size, times in held.copies.items())
    parts += [
        f"{times} x {count(size)} B of 16-bit copies of kv_b_proj"
        for size, times in held.copies.items()
    ]
    if round(held.tiles):
        parts.append(f"{count(round(held.tiles))} B of whole tiles of the kernel of the experts")
    known = held.scales + copied + round(held.tiles)
    rest = held.total - known - sum(n * bits / 8 for bits, n in values.items())
    if round(rest):
        parts.append(f"{count(round(rest))} B of padding to whole 2 MiB segments")
    share = _share(held) if held.local else "none"
    return (
        f"{' + '.join(shapes(held))} = {count(held.parameters)} parameters, of which this GPU "
        f"holds {share}: {' + '.join(parts)} = {count(held.total)} B"
    )


def product(tensor: Tensor) -> str:
    """`128 gate_proj 768 x 2,048`: how many, the name below the layer, rows x columns."""
    many = f"{count(tensor.count)} " if tensor.count > 1 else ""
    columns = f" x {count(tensor.columns)}" if tensor.columns > 1 else ""
    return f"{many}{_name(tensor)} {count(tensor.rows)}{columns}"


def _name(tensor: Tensor) -> str:
    path, _, last = tensor.name.rpartition(".")
    return f"{path.rpartition('.')[2]}.{last}" if last == "bias" else last


def shapes(held: Held) -> tuple[str, ...]:
    """The tensors of a class, those that come equally often together."""
    alike: dict[int, list[str]] = defaultdict(list)
    for text, times in held.shapes.items():
        alike[times].append(text)
    return tuple(
        f"{times} x ({' + '.join(texts)})" if times > 1 else " + ".join(texts)
        for times, texts in alike.items()
    )


def _share(held: Held) -> str:
    """`1/4`, or `1/4 of q_proj, o_proj and 1/2 of k_proj` where heads are copied."""
    parts = [(_part(part), ", ".join(names)) for part, names in held.shares.items()]
    if len(parts) == 1:
        return parts[0][0]
    return " and ".join(f"{part} of {names}" for part, names in parts)


def _part(share: float) -> str:
    if share == 1:
        return "all"
    ways = 1 / share
    return f"1/{ways:.0f}" if abs(ways - round(ways)) < TOLERANCE * ways else f"{share:g}"
