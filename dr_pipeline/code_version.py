"""Code version: a hash of the code that can change what a stage writes.

The code of a module is its import closure inside this package, as far as it is code: comments, docstrings and layout
are left out, so that editing them re-runs nothing. The stage `code` writes one file per stage (data/code/STAGE.json)
and every other stage of dvc.yaml depends on its own file. Preprocessing keeps a shard, training resumes and an
experiment reuses a result only where the code version is the same.

The hash does not depend on the Python version: it is taken over the fields of the syntax tree that are not empty.
"""

import ast
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from dr_pipeline.files import sha256_bytes, sha256_json

PACKAGE = Path(__file__).parent

# Modules that cannot reach a stage's output, and why; what only they import cannot either.
OUTPUT_NEUTRAL = {
    "cli.py": "passes arguments on; the arguments stand in the stage's cmd, which DVC tracks",
    "code_version.py": "names code; a change here changes no other output",
    "engines/": "where the work on a file is done; the results are the same on any engine, which is tested",
    "errors.py": "messages of a stage that fails, and a failed stage has no outputs",
    "logs.py": "writes to standard error",
    "reporting/progress_plot.py": "plots an unfinished training into the scratch folder",
    "stages/__init__.py": "the names of the stages",
    "stages/outcome.py": "what is printed at the end",
    "tracking/": "a view of the files that no stage reads",
}

# A module, or `module:name`, as a registry of plug-ins holds it.
_REFERENCE = re.compile(r"dr_pipeline(\.\w+)+(:\w+)?")

# Fields of syntax trees that only some Python versions have, or that repeat what the tree's shape states.
_IGNORED_FIELDS = ("ctx", "kind", "type_comment")


@cache
def code_version(module: str) -> str:
    """Hash of the code that a module runs.

    Args:
        module: Dotted name, such as `dr_pipeline.stages.train`.

    Returns:
        64 hexadecimal digits.
    """
    return sha256_json(module_hashes(module))


@cache
def module_hashes(module: str) -> dict[str, str]:
    """The import closure of a module, itself included: each file's path inside the package and the hash of its code.

    Imports inside functions count. Modules that hold a docstring only, and those in `OUTPUT_NEUTRAL`, do not.

    Raises:
        ModuleNotFoundError: This package has no such module.
    """
    closure = _closure(module, lambda path: not _is_neutral(path))
    return {_relative(path): _read(path).sha256 for path in closure if _read(path).has_code}


def module_files(module: str) -> dict[str, Path]:
    """Every file that a module imports, itself included, by its path inside the package: it runs with these alone.

    Raises:
        ModuleNotFoundError: This package has no such module.
    """
    return {_relative(path): path for path in _closure(module, lambda _path: True)}


def _closure(module: str, belongs: Callable[[Path], bool]) -> list[Path]:
    place = PACKAGE.parent.joinpath(*module.split("."))
    if not (place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()):
        raise ModuleNotFoundError(f"dr_pipeline has no module {module}", name=module)
    paths = _module_files(module)
    seen: set[Path] = set()
    while paths:
        path = paths.pop()
        if path not in seen and belongs(path):
            seen.add(path)
            paths += [file for name in _read(path).imports for file in _module_files(name)]
    return sorted(seen)


class _Source:
    """What the closure needs of one file: the names it imports, and the hash of its code."""

    def __init__(self, path: Path) -> None:
        tree = ast.parse(path.read_bytes())
        self.imports = _imported_names(tree)
        _drop_docstrings(tree)
        self.has_code = bool(tree.body)
        self.sha256 = sha256_bytes(repr(_plain(tree)).encode())


@cache
def _read(path: Path) -> _Source:
    return _Source(path)


def _relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _is_neutral(path: Path) -> bool:
    return _relative(path).startswith(tuple(OUTPUT_NEUTRAL))


def _imported_names(tree: ast.Module) -> list[str]:
    """Dotted names inside this package that a module imports anywhere, or names in a string as a registry does."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _REFERENCE.fullmatch(node.value):
            names.append(node.value.partition(":")[0])
    return [name for name in names if name.split(".")[0] == PACKAGE.name]


def _module_files(dotted: str) -> list[Path]:
    """The `__init__` of every package on the way, then the module itself; `module.name` gives the module."""
    files, place = [], PACKAGE.parent
    for part in dotted.split("."):
        place /= part
        files += [file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
    return files


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)]


def _is_text(statement: ast.stmt) -> bool:
    """A bare string: a docstring, or a comment in the shape of one."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _plain(node: Any) -> Any:
    """A syntax tree as nested tuples, without positions and empty fields."""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if name not in _IGNORED_FIELDS]
        return (type(node).__name__, *((name, _plain(value)) for name, value in fields if value not in (None, [])))
    return [_plain(item) for item in node] if isinstance(node, list) else node
