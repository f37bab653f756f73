"""The arguments of our constructors, and the sum of anybody's, read from their sources: importing takes seconds."""

import ast
import builtins
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Literal

PLAIN = {"None": None, "Any": Any, "Literal": Literal} | {
    name: getattr(builtins, name) for name in ("int", "float", "bool", "str")
}
Found = tuple[ast.Module, ast.AST]  # a definition, and the module that it stands in


def arguments(target: str) -> dict[str, Any] | None:
    """The type of each argument of `target`, by name; Any if it is not made of plain types.

    None if the source does not show the arguments, or `target` is not ours.
    """
    found = _find(target)
    while found:
        tree, node = found
        if isinstance(node, ast.ClassDef):
            init = next((one for one in node.body if getattr(one, "name", "") == "__init__"), None)
            if init is not None:
                found = tree, init
            elif "dataclass" in " ".join(map(ast.unparse, node.decorator_list)):
                fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
                return {
                    ast.unparse(one.target): _type(one.annotation, tree)
                    for one in fields
                    if not ast.unparse(one.annotation).startswith("ClassVar")
                }
            elif node.bases:
                found = _find_in(tree, ast.unparse(node.bases[0]))  # an inherited constructor
            else:
                return {}
        elif isinstance(node, ast.FunctionDef):
            given = node.args
            if given.vararg or given.kwarg:
                return None
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            return {one.arg: _type(one.annotation, tree) for one in every if one.arg != "self"}
        else:
            return None
    return None


def is_class(target: str) -> bool:
    """Whether a dotted name is a class of ours, as its source says."""
    found = _find(target)
    return found is not None and isinstance(found[1], ast.ClassDef)


def code_of(node: Mapping[str, Any]) -> str | None:
    """Eight digits of the SHA-256 of the files in which the classes and functions stand that a node names by `path`.

    Those that its arguments name count as well. None where no file is found.
    """
    files = {file for path in _paths(node) if (file := _file_of(path)) is not None}
    together = sha256()
    for file in sorted(files):
        together.update(sha256(file.read_bytes()).digest())
    return together.hexdigest()[:8] if files else None


def _paths(value: Any) -> Iterator[str]:
    """The dotted names of other packages in a value."""
    for key, one in (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    ):
        if (
            key in ("path", "_target_")
            and isinstance(one, str)
            and not one.startswith(("eegfm.", "hydra."))
        ):
            yield one
        yield from _paths(one)


def _file_of(path: str) -> Path | None:
    """The file of the module in which a dotted name stands."""
    found, place = None, [os.getcwd(), *sys.path]
    for part in path.split(".")[:-1]:
        found = PathFinder.find_spec(part, place)
        if found is None:
            return None
        place = list(found.submodule_search_locations or [])
    file = None if found is None or found.origin is None else Path(found.origin)
    return file if file is not None and file.is_file() else None


def _find(target: str) -> Found | None:
    """The definition of a dotted name of ours."""
    module, _, name = target.rpartition(".")
    ours, _, inner = module.partition(".")
    path = Path(__file__).parents[1].joinpath(*inner.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return _find_in(_parsed(file), name) if ours == "eegfm" and file.is_file() else None


def _find_in(tree: ast.Module, name: str) -> Found | None:
    """The definition of a name in a module, also if the module imports it from another module of ours."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return tree, node
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return tree, node.value
        if isinstance(node, ast.ImportFrom):
            for one in node.names:
                if (one.asname or one.name) == name:
                    return _find(f"{node.module}.{one.name}")
    return None


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _type(annotation: ast.AST | None, tree: ast.Module) -> Any:
    """The type that an annotation stands for, through aliases; Any if it is not made of plain types."""
    if not isinstance(annotation, ast.expr):
        return Any
    known = dict(PLAIN)
    for one in ast.walk(annotation):
        if isinstance(one, ast.Name) and one.id not in PLAIN:
            found = _find_in(tree, one.id)
            known[one.id] = _type(found[1], found[0]) if found else Any
            if known[one.id] is Any:
                return Any
    try:
        return eval(compile(ast.Expression(annotation), "", "eval"), {"__builtins__": {}}, known)
    except (NameError, TypeError, AttributeError):
        return Any
