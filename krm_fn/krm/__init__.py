"""The wire: ResourceList, YAML, Results, files of a package and who owns them.

Rule: this room knows Kubernetes objects only as dicts with apiVersion, kind and metadata. It knows
nothing of the kinds, the owner key or the purpose of its callers; they come in as data. It imports
PyYAML, the standard library and `krm_fn.errors`, reads no environment and touches no file.

Reading order: item, resource_list, layout, claims, ownership, pruning, process; yaml,
results and edits serve them.
"""

from krm_fn.krm.claims import Claim
from krm_fn.krm.edits import file_hashes
from krm_fn.krm.item import (
    PACKAGE_PATH,
    Identity,
    Item,
    Manifest,
    file_form,
    item_of,
    item_of_text,
)
from krm_fn.krm.layout import (
    Document,
    Mode,
    annotated,
    below,
    file_items,
    file_text,
    in_package,
    mode,
    placed,
)
from krm_fn.krm.ownership import Reconciled, reconcile
from krm_fn.krm.process import Outcome, guarded_stdout, run
from krm_fn.krm.resource_list import ResourceList, parse, serialise
from krm_fn.krm.results import has_errors, stderr_lines, wire
from krm_fn.krm.yaml import Place, documents, dump, dump_all, load, load_all, place

__all__ = [
    "PACKAGE_PATH",
    "Claim",
    "Document",
    "Identity",
    "Item",
    "Manifest",
    "Mode",
    "Outcome",
    "Place",
    "Reconciled",
    "ResourceList",
    "annotated",
    "below",
    "documents",
    "dump",
    "dump_all",
    "file_form",
    "file_hashes",
    "file_items",
    "file_text",
    "guarded_stdout",
    "has_errors",
    "in_package",
    "item_of",
    "item_of_text",
    "load",
    "load_all",
    "mode",
    "parse",
    "place",
    "placed",
    "reconcile",
    "run",
    "serialise",
    "stderr_lines",
    "wire",
]
