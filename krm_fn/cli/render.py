"""Write base/ and overlays/ for the services of a folder or file.

A folder is rendered in place, and so is the one in which a file stands; `-d` names another folder.
What was generated before and is no longer wanted is removed; configs, and files of others, are
never touched. Ends with why this layout, how to check the cluster, how to call the service and how
to remove it.
"""

import argparse
import sys
from pathlib import Path

from krm_fn.cli import files
from krm_fn.errors import ConfigError, error
from krm_fn.function import generate, report, validates
from krm_fn.function.intake import intake
from krm_fn.function.rendered import Rendered, render_services
from krm_fn.krm import Item, ResourceList


def arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("source", metavar="DIR|CONFIG", help="a folder, a file or - (stdin)")
    verb.add_argument("-d", "--output-dir", metavar="DIR", help="write there instead")
    verb.add_argument(
        "--prune", action="store_true", help="also remove files whose service is gone"
    )


def run(options: argparse.Namespace) -> int:
    """Exit 0 when every service was rendered; on any fault nothing is written."""
    folder = _folder(options)
    before = files.package(folder).items if folder.is_dir() else ()
    resources = ResourceList(items=_inputs(options, folder, before))
    _refuse_validators(resources.items)
    answer = generate(resources, prune=options.prune)
    for result in answer.results:
        print(result.line, file=sys.stderr)
    _write(folder, before, answer.items)
    for each in render_services(intake(resources)):
        _say(each, folder)
    return 0


def _refuse_validators(items: tuple[Item, ...]) -> None:
    if validates := [item.name for item in items if _validates(item)]:
        message = f"{', '.join(map(str, validates))}: writes nothing; use `krm-fn validate`"
        raise ConfigError([error(message, "spec.output.mode")])


def _write(folder: Path, before: tuple[Item, ...], answered: tuple[Item, ...]) -> None:
    """What was made, beside the sources that stand there; all of it or nothing."""
    made = (item for item in answered if not _is_source(item))
    after = [*made, *(item for item in before if _is_source(item))]
    if faults := list(files.in_the_way(folder, before, after)):
        raise ConfigError(faults)
    changes = list(files.written(folder, before, after))
    for change in changes:
        print(change)
    print(f"{report.counted(len(changes), 'file')} changed in {folder}", file=sys.stderr)


def _folder(options: argparse.Namespace) -> Path:
    if options.output_dir:
        folder = Path(options.output_dir)
        if folder.exists() and not folder.is_dir():
            raise ConfigError([error(f'-d "{folder}" is no folder: state one, or a new name')])
        return folder
    if options.source == files.STDIN:
        raise ConfigError([error("state a folder with -d when the config comes from stdin")])
    source = Path(options.source)
    if not source.exists():
        raise ConfigError([error(f'"{source}" is neither a file nor a folder')])
    return source if source.is_dir() else source.parent


def _inputs(options: argparse.Namespace, folder: Path, there: tuple[Item, ...]) -> tuple[Item, ...]:
    """What stands in the folder, and the documents of a source outside it, which come first."""
    if _is_inside(options, folder):
        if Path(options.source).is_file():
            _refuse_others(options, files.given(options.source))
        return there
    if options.prune:
        message = "--prune is for a folder that is rendered in place: its configs say who is gone"
        raise ConfigError([error(message)])
    outside = files.given(options.source)
    _refuse_others(options, outside)
    taken = {(item.kind, item.name) for item in outside}
    others = (item for item in there if (item.kind, item.name) not in taken)
    return (*outside, *(item for item in others if item.kind != "LLMService"))


def _refuse_others(options: argparse.Namespace, found: tuple[Item, ...]) -> None:
    """A source that asks for nothing."""
    if not any(_is_source(item) for item in found):
        raise ConfigError([error(f"no LLMService in {options.source}")])


def _is_inside(options: argparse.Namespace, folder: Path) -> bool:
    """The source is the folder, or a file that stands in it."""
    source = Path(options.source).resolve()
    return options.source != files.STDIN and folder.resolve() in (source, source.parent)


def _is_source(item: Item) -> bool:
    """What people write: never copied, changed or removed."""
    return item.api_version.startswith("krm-fn.dev/") and item.kind != "LLMPlan"


def _validates(item: Item) -> bool:
    return validates(ResourceList(items=(), function_config=item))


def _say(each: Rendered, folder: Path) -> None:
    facts = each.facts
    name, output = facts.service.metadata.name, facts.service.spec.output
    objects = report.flat_files(each.rendering, facts) if output.mode == "flat" else ()
    steps = report.next_steps(facts, folder / output.path, objects)
    print(f"\n{name}: {facts.service.spec.model.id} on {facts.gpu.name}")
    for line in (*report.why(each.planned.plans), *steps):
        print(f"  {line}")
