"""Writes params.yaml from a recipe, and links the photographs and weights that it reads.

The links, data/source and data/weights, lie outside git. A params.yaml edited by hand is kept beside the new one.
"""

import argparse
from pathlib import Path

from dr_pipeline.recipes.catalogue import NAMES
from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the recipe's name and the user's own folders."""
    parser.add_argument("name", choices=NAMES, help="the recipe: " + ", ".join(NAMES), metavar="NAME")
    parser.add_argument("--root", type=Path, metavar="PATH", help="folder of the data set; becomes data/source")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="PATH",
        help="safetensors file or index of its shards, or folder of such; becomes data/weights",
    )
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), metavar="PATH", help="file to write (params.yaml)"
    )
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="PATH", help="folder for the links (data)")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="keep these candidates only, such as those whose weights you have"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Checks everything first, then links and writes.

    Raises:
        DataError: A folder or file is missing, or a link would replace something real.
        ParamsError: The recipe needs a root, or takes none, or takes no weights.
    """
    from dr_pipeline.files import write_text
    from dr_pipeline.params.root import load_params
    from dr_pipeline.recipes.catalogue import SOURCE_LINK, WEIGHTS_LINK, fitted, recipe_text, with_candidates

    shipped = recipe_text(args.name)
    if args.only:
        shipped = with_candidates(shipped, args.only)
    source, weights = args.data / SOURCE_LINK, args.data / WEIGHTS_LINK
    links: dict[Path, Path] = {}
    if (root := _root(args.name, shipped, args.root)) is not None:
        links[source] = root
    chosen: Path | None = None
    sha256 = ""
    if args.weights is not None:
        links[weights], inner = _weights(args.name, shipped, args.weights)
        chosen, sha256 = weights / inner, _hash_of_all(links[weights] / inner)
    for link in links:
        _check_replaceable(link)

    text = fitted(shipped, source=source, weights=chosen, sha256=sha256)
    backup = None if _replaceable(args.params, text, source, weights) else _back_up(args.params)
    for link, target in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    write_text(args.params, text)
    load_params(args.params)
    kept = f"; your edited {args.params.name} is kept as {backup.name}" if backup else ""
    return Outcome(
        wrote=(args.params, *links, *([backup] if backup else [])),
        headline=f"recipe {args.name}" + "".join(f"; {link} → {target}" for link, target in links.items()) + kept,
        next_command="dvc repro",
    )


def _root(name: str, shipped: str, root: Path | None) -> Path | None:
    from dr_pipeline.errors import DataError, ParamsError
    from dr_pipeline.recipes.catalogue import reads_source

    if not reads_source(shipped):
        if root is not None:
            raise ParamsError(f"the recipe {name} draws its own photographs and takes no --root")
        return None
    if root is None:
        raise ParamsError(
            f"the recipe {name} needs the folder of your copy of the data set",
            todo=f"dr-pipeline recipe {name} --root PATH",
        )
    if not root.expanduser().is_dir():
        raise DataError("--root is no folder", where=str(root), todo="give the folder of the data set")
    return root.expanduser().resolve()


def _weights(name: str, shipped: str, given: Path) -> tuple[Path, str]:
    """The link's target, and the file's name in it where the target is a folder."""
    from dr_pipeline.errors import DataError, ParamsError
    from dr_pipeline.intake.records import shortlist
    from dr_pipeline.recipes.catalogue import weights_model

    model = weights_model(shipped)
    if model is None:
        raise ParamsError(
            f"no candidate kept of the recipe {name} takes --weights",
            todo="leave --weights out; then write `weights: file:PATH` at a candidate in params.yaml",
        )
    target = given.expanduser().resolve()
    if target.is_file():
        return target, ""
    if not target.is_dir():
        raise DataError("--weights is neither a file nor a folder", where=str(given), todo="give a safetensors file")
    indices = sorted(path.name for path in target.glob(f"{model}*.safetensors.index.json"))
    found = indices or sorted(path.name for path in target.glob(f"{model}*.safetensors"))
    if len(found) != 1:
        raise DataError(
            f"exactly one {model}*.safetensors is wanted in the folder, found "
            + (shortlist(found) if found else "none"),
            where=str(given),
            todo="give the file itself, or the index of its shards",
        )
    return target, found[0]


def _hash_of_all(weights: Path) -> str:
    """The hash that training compares: of the file, or of an index and all its shards."""
    from dr_pipeline.models.weights.checkpoint_files import checkpoint_files, checkpoint_sha256

    return checkpoint_sha256(checkpoint_files(weights))


def _check_replaceable(link: Path) -> None:
    from dr_pipeline.errors import DataError

    if link.exists() and not link.is_symlink():
        raise DataError(
            "a real file or folder stands where the link would go; it is left alone",
            where=str(link),
            todo="move it away, then run the recipe again",
        )


def _replaceable(params: Path, text: str, source: Path, weights: Path) -> bool:
    from dr_pipeline.recipes.catalogue import is_unedited

    if not params.exists():
        return True
    present = params.read_bytes().decode(errors="replace")
    return present == text or is_unedited(present, source=source, weights=weights)


def _back_up(params: Path) -> Path:
    """Keeps a hand-edited file under the next free name, unless a copy of it is there already."""
    present = params.read_bytes()
    number = 1
    while (backup := params.with_name(f"{params.name}.bak{number if number > 1 else ''}")).exists():
        if backup.read_bytes() == present:
            return backup
        number += 1
    backup.write_bytes(present)
    return backup
