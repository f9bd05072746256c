"""Reading and writing packages on disk: folders of YAML, or a stream on stdin."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from krm_fn import krm
from krm_fn.errors import ConfigError, KrmFnError, Result, error
from krm_fn.krm import Item, ResourceList

STDIN = "-"
SUFFIXES = (".yaml", ".yml")
IGNORED = (".krmignore",)


@dataclass(frozen=True, kw_only=True)
class Package:
    """A folder and the Kubernetes objects in it; `unread` = YAML that holds something else."""

    folder: Path
    items: tuple[Item, ...]
    unread: tuple[str, ...]

    @property
    def resources(self) -> ResourceList:
        return ResourceList(items=self.items)


def package(folder: Path) -> Package:
    """All YAML files below `folder`; hidden folders are skipped, other YAML is left alone."""
    items: list[Item] = []
    unread: list[str] = []
    for path in _yaml_files(folder):
        name = path.relative_to(folder).as_posix()
        found = _items(name, path)
        items += found or ()
        unread += [] if found is not None else [name]
    return Package(folder=folder, items=tuple(items), unread=tuple(unread))


def _yaml_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in SUFFIXES and path.is_file() and not hidden:
            yield path


def _items(name: str, path: Path) -> tuple[Item, ...] | None:
    """The objects of one file, None if it holds no Kubernetes objects."""
    try:
        items = krm.file_items(name, _read(path))
        kinds = [(item.api_version, item.kind) for item in items]
    except (KrmFnError, ValueError):
        text = path.read_text(encoding="utf-8", errors="replace")
        if "krm-fn.dev/" in text:
            raise
        return None
    return items if all(version and kind for version, kind in kinds) else None


def packages(paths: Iterable[str]) -> tuple[Item, ...]:
    """The objects of several arguments; each file or folder is a package of its own."""
    found = ((path, item) for path in paths for item in given(path))
    return tuple(
        replace(item, where={**item.where, krm.PACKAGE_PATH: _package_of(path)})
        for path, item in found
    )


def _package_of(path: str) -> str:
    """Files of one folder may refer to each other, and share no name."""
    place = Path(path)
    return str(place if place.is_dir() else place.parent)


def given(path: str) -> tuple[Item, ...]:
    """The objects of a file, a folder or `-` (stdin); a folder gives only documents of ours."""
    if path == STDIN:
        return krm.file_items("stdin", sys.stdin.read())
    place = Path(path)
    if place.is_dir():
        return tuple(item for item in package(place).items if _is_ours(item))
    if not place.exists():
        raise ConfigError([error(f'"{path}" is neither a file nor a folder')])
    return krm.file_items(place.name, _read(place))


def _read(path: Path) -> str:
    """Text in UTF-8, as Kubernetes has it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        message = f'"{path}" is not UTF-8 (byte {fault.start}): save it as UTF-8'
        raise ConfigError([error(message)]) from None
    except OSError as fault:
        raise ConfigError([error(f'"{path}" cannot be read: {fault.strerror}')]) from None


def _is_ours(item: Item) -> bool:
    return item.api_version.startswith("krm-fn.dev/")


def written(folder: Path, before: Iterable[Item], after: Iterable[Item]) -> Iterator[str]:
    """Write what changed and remove what is gone; yields `+ path`, `~ path` and `- path`."""
    old, new = _by_path(before), _by_path(after)
    for path in sorted({*old, *new}):
        target = folder / path
        if path not in new:
            target.unlink()
            _remove_empty(target.parent, folder)
            yield f"- {path}"
        elif [i.raw for i in old.get(path, ())] != [i.raw for i in new[path]]:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(krm.file_text(new[path], old.get(path, ())), encoding="utf-8")
            yield f"{'~' if path in old else '+'} {path}"


def in_the_way(folder: Path, before: Iterable[Item], after: Iterable[Item]) -> Iterator[Result]:
    """Files that hold something else than Kubernetes objects where we would write."""
    for path in sorted({*_by_path(after)} - {*_by_path(before)}):
        if (folder / path).exists():
            message = f'"{path}" holds no Kubernetes object and would be overwritten; move it away'
            yield error(message, file={"path": path})


def _by_path(items: Iterable[Item]) -> dict[str, list[Item]]:
    files: dict[str, list[Item]] = {}
    for item in items:
        if item.path is not None:
            files.setdefault(item.path, []).append(item)
    return files


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
