"""Writes params.yaml from a recipe, links the photographs and weights that it reads, and keeps what the user edited."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import write_text
from dr_pipeline.intake.records import shortlist
from dr_pipeline.logs import logger
from dr_pipeline.models.weights.checkpoint_files import checkpoint_files, checkpoint_sha256
from dr_pipeline.models.weights.packages import PACKAGE, find_installed_weights
from dr_pipeline.params.root import load_params
from dr_pipeline.recipes import LESION_LINK, SOURCE_LINK, SOURCE_LINKS, WEIGHTS_LINK
from dr_pipeline.recipes.compose import Recipe, is_unedited
from dr_pipeline.recipes.lesion_entries import LesionArgument
from dr_pipeline.recipes.source_arguments import SourceArgument


@dataclass(frozen=True)
class Written:
    """What `write_params` did.

    Attributes:
        links: Each link and its target.
        backup: The copy of a params.yaml that was edited by hand; None where there was none.
    """

    links: dict[Path, Path]
    backup: Path | None


def write_params(
    recipe: Recipe,
    params: Path,
    *,
    data: Path,
    root: Path | None = None,
    sources: Sequence[str] = (),
    weights: str | None = None,
    lesions: str | None = None,
) -> Written:
    """Checks everything first, then links and writes.

    Args:
        recipe: The recipe, as shipped or with fewer candidates.
        params: The file to write.
        data: Folder of the links.
        root: The user's copy of the data set; becomes the link `source`.
        sources: `SITE[:ROLE]=ADAPTER:PATH` of each of several data sets; each PATH gets a link in the folder `sources`.
        weights: A safetensors file or index of its shards, or a folder of such, which becomes the link `weights`; or
            `package:NAME` of an installed package.
        lesions: `ADAPTER:FOLDER` of a data set with masks of lesions; becomes the link `lesion_source`.

    Raises:
        DataError: A folder or file is missing, or a link would replace a real file or folder.
        ParamsError: The recipe needs a root or sources, or takes none, or takes no such weights; or as
            find_installed_weights.
    """
    source_link, weights_link = data / SOURCE_LINK, data / WEIGHTS_LINK
    links: dict[Path, Path] = {}
    if (target := _root(recipe, root)) is not None:
        links[source_link] = target
        recipe.link(source=source_link)
    links |= _take_sources(recipe, sources, data / SOURCE_LINKS)
    if weights is not None and weights.startswith(PACKAGE):
        recipe.take_package(find_installed_weights(weights))
    elif weights is not None:
        links[weights_link], inner = _weights(recipe, Path(weights))
        sha256 = checkpoint_sha256(checkpoint_files(links[weights_link] / inner))
        recipe.link(weights=weights_link / inner, sha256=sha256)
    if lesions is not None:
        links |= _take_lesions(recipe, LesionArgument.parse(lesions), data / LESION_LINK)
    for link in links:
        _require_replaceable(link)

    text = recipe.text()
    _require_valid(text, params)
    backup = None if _is_replaceable(params, text, source_link, weights_link) else _back_up(params)
    for link, target in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(_link_text(link, target))
    write_text(params, text)
    _warn_of_missing_packages(recipe)
    return Written(links, backup)


def _require_valid(text: str, params: Path) -> None:
    """Before anything is written: what the arguments ask for may contradict itself."""
    with TemporaryDirectory() as folder:
        draft = Path(folder) / params.name
        write_text(draft, text)
        try:
            load_params(draft)
        except ParamsError as error:
            raise ParamsError(
                error.what, where=f"the {params.name} that these arguments give", todo="correct the arguments"
            ) from None


def _warn_of_missing_packages(recipe: Recipe) -> None:
    """Here already: otherwise the training reports it, after all photographs were preprocessed."""
    for reference in recipe.packages:
        try:
            find_installed_weights(reference)
        except ParamsError as error:
            logger.warning("%s", error)


def _link_text(link: Path, target: Path) -> Path:
    """Relative where the target lies in the repository itself, so that both can be moved together."""
    folder = link.parent.resolve()
    inside = target.is_relative_to(folder.parent)
    return Path(os.path.relpath(target, folder)) if inside else target


def _take_sources(recipe: Recipe, arguments: Sequence[str], folder: Path) -> dict[Path, Path]:
    """Sets the recipe's sources; returns the link and target of each."""
    if bool(arguments) != recipe.reads_sources:
        raise ParamsError(
            f"the recipe {recipe.name} {'needs' if recipe.reads_sources else 'takes no'} --source",
            todo="dr-pipeline recipe sources --source SITE=ADAPTER:PATH --source …",
        )
    sources = [SourceArgument.parse(argument) for argument in arguments]
    links = {folder / source.site: source.root for source in sources}
    if len(links) < len(sources):
        raise ParamsError("two sources have one site", where="--source", todo="give each a site of its own")
    if sources:
        recipe.take_sources(folder, [source.values(folder / source.site) for source in sources])
    return links


def _take_lesions(recipe: Recipe, lesions: LesionArgument, link: Path) -> dict[Path, Path]:
    """Fills the recipe's section `lesions`; returns the link and its target, where there is one."""
    recipe.take_lesions(lesions.adapter, link if lesions.is_linked else lesions.root)
    return {link: lesions.root} if lesions.is_linked else {}


def _root(recipe: Recipe, root: Path | None) -> Path | None:
    if not recipe.reads_source:
        if root is not None:
            instead = "names its folders by --source" if recipe.reads_sources else "makes its own photographs"
            raise ParamsError(f"the recipe {recipe.name} {instead} and takes no --root")
        return None
    if root is None:
        raise ParamsError(
            f"the recipe {recipe.name} needs the folder of your copy of the data set",
            todo=f"dr-pipeline recipe {recipe.name} --root PATH",
        )
    if not root.expanduser().is_dir():
        raise DataError("--root is no folder", where=str(root), todo="give the folder of the data set")
    return root.expanduser().resolve()


def _weights(recipe: Recipe, given: Path) -> tuple[Path, str]:
    """The link's target, and the file's name in it where the target is a folder."""
    model = recipe.weights_model
    if model is None:
        raise ParamsError(
            f"no selected candidate of the recipe {recipe.name} takes --weights",
            todo="leave --weights out; then write `weights: file:PATH` at a candidate in params.yaml",
        )
    target = given.expanduser().resolve()
    if target.is_file():
        return target, ""
    if not target.is_dir():
        raise DataError("--weights is neither a file nor a folder", where=str(given), todo="give a safetensors file")
    indices = sorted(path.name for path in target.glob(f"{model}*.safetensors.index.json"))
    names = indices or sorted(path.name for path in target.glob(f"{model}*.safetensors"))
    if len(names) != 1:
        raise DataError(
            f"the folder must have exactly one {model}*.safetensors, found " + (shortlist(names) if names else "none"),
            where=str(given),
            todo="give the file itself, or the index of its shards",
        )
    return target, names[0]


def _require_replaceable(link: Path) -> None:
    if link.exists() and not link.is_symlink():
        raise DataError(
            "a real file or folder is where the link would be; it is left alone",
            where=str(link),
            todo="move it away, then run the recipe again",
        )


def _is_replaceable(params: Path, text: str, source: Path, weights: Path) -> bool:
    if not params.exists():
        return True
    present = params.read_bytes().decode(errors="replace")
    return present == text or is_unedited(present, source=source, weights=weights)


def _back_up(params: Path) -> Path:
    """Copies a hand-edited file to the next free name, unless such a copy exists already."""
    present = params.read_bytes()
    number = 1
    while (backup := params.with_name(f"{params.name}.bak{number if number > 1 else ''}")).exists():
        if backup.read_bytes() == present:
            return backup
        number += 1
    backup.write_bytes(present)
    return backup
