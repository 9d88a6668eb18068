"""What code each DVC stage runs: the import closure of its module, less what cannot change an output.

`python -m tests.contract.closure --write` puts it into dvc.yaml, under each stage's "# code".
"""

import argparse
import ast
import re
from pathlib import Path

from tests.factories import REPOSITORY

PACKAGE = "dr_pipeline"

# Modules whose content cannot reach a stage's outputs: they parse, speak or record.
OUTPUT_NEUTRAL = {
    "dr_pipeline/cli.py": "passes arguments on; the arguments stand in the stage's cmd, which DVC tracks",
    "dr_pipeline/errors.py": "sentences for a stage that fails, and a failed stage has no outputs",
    "dr_pipeline/logs.py": "draws on standard error",
    "dr_pipeline/reporting/progress_plot.py": "draws an unfinished training into the scratch folder",
    "dr_pipeline/stages/outcome.py": "what is printed at the end",
    "dr_pipeline/tracking/": "a view of the files, never read by a stage",
}


def closure(module: Path) -> set[str]:
    """Repository paths of all package modules with code that `module` imports, at any depth, itself included."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if not _is_neutral(path):  # what only a neutral module needs cannot reach an output either
            waiting += _imported(path)
    names = {path.relative_to(REPOSITORY).as_posix() for path in found if _has_code(path)}
    return {name for name in names if not _is_neutral(REPOSITORY / name)}


def _is_neutral(path: Path) -> bool:
    return path.relative_to(REPOSITORY).as_posix().startswith(tuple(OUTPUT_NEUTRAL))


def verb_of(command: str) -> str:
    return command.split()[1]


def stage_module(verb: str) -> Path:
    return REPOSITORY / PACKAGE / "stages" / f"{verb}.py"


def _imported(path: Path) -> list[Path]:
    files = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == PACKAGE:
                files += _files(name)
    return files


def _files(dotted: str) -> list[Path]:
    """The module's file and the __init__ of every package above it."""
    parts = dotted.split(".")
    files = [REPOSITORY.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    files.append(REPOSITORY.joinpath(*parts[:-1], f"{parts[-1]}.py"))
    return [file for file in files if file.is_file()]


def _has_code(path: Path) -> bool:
    body = ast.parse(path.read_text()).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def rewritten(text: str) -> str:
    """dvc.yaml with every "# code" block replaced by the closure of its stage's verb."""

    def block(match: re.Match[str]) -> str:
        indent = match["indent"]
        verb = re.findall(r"dr-pipeline (\w+)", text[: match.start()])[-1]
        return f"{indent}# code\n" + "".join(f"{indent}- {name}\n" for name in sorted(closure(stage_module(verb))))

    return re.sub(r"^(?P<indent> +)# code\n(?: +- dr_pipeline/\S+\n)*", block, text, flags=re.MULTILINE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    file = REPOSITORY / "dvc.yaml"
    file.write_text(rewritten(file.read_text()))
