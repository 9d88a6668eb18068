"""Builds the store of photographs with masks of lesions; see `lesion_store.py`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dr_pipeline.canvases.lesion_render import MaskedSource, MaskedTask, RenderedMasks
from dr_pipeline.canvases.lesion_store import canvas_name, masks_name
from dr_pipeline.canvases.store import INDEX, PIXEL_PATH
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.files import atomic_write, make_private_folder, write_json
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.logs import progress

_TIME_LIMIT_S = 600.0
_MAX_NAMED = 10


def write_lesion_canvases(
    sources: Sequence[MaskedSource], out: Path, pixel_path: PixelPath, engines: EngineChoice
) -> dict[str, RenderedMasks]:
    """Renders every photograph with its masks; the index, without which the store is incomplete, is the caller's.

    Args:
        sources: The photographs, at least one.
        out: The folder to write: canvases and masks, which only their owner may read, and pixel_path.json. Those of
            other photographs are removed from it.
        pixel_path: Applied to each photograph.
        engines: Where the work is done; the output does not depend on it.

    Returns:
        What was found of each, by image id, without the pictures.

    Raises:
        DataError: Masks cannot be used, or two photographs would have files of one name.
    """
    sources = sorted(sources, key=lambda source: source.image_id)
    roots = tuple(sorted({source.root for source in sources}))
    where = ", ".join(map(str, roots))
    names = [name(source.image_id) for source in sources for name in (canvas_name, masks_name)]
    if len({name.casefold() for name in names}) < len(names):
        raise DataError("a photograph has the name of another's masks", where=where, todo="rename NAME_masks")
    make_private_folder(out)
    (out / INDEX).unlink(missing_ok=True)
    _remove_others(out, set(names))
    write_json(out / PIXEL_PATH, pixel_path.to_dict() | {"fingerprint": pixel_path.fingerprint})
    found: dict[str, RenderedMasks] = {}
    faults, todos = [], dict[str, None]()
    with engines.engine(MaskedTask(pixel_path, roots), time_limit_s=_TIME_LIMIT_S) as engine:
        for source, rendered in progress(engine.results(sources), label="lesion canvases", total=len(sources)):
            if rendered.fault:
                faults.append(rendered.fault)
                todos |= {rendered.todo: None} if rendered.todo else {}
                continue
            _write(out / canvas_name(source.image_id), rendered.canvas)
            _write(out / masks_name(source.image_id), rendered.masks)
            found[source.image_id] = replace(rendered, canvas=b"", masks=b"")
    if faults:
        more = [f"and {len(faults) - _MAX_NAMED} more"] if len(faults) > _MAX_NAMED else []
        raise DataError(
            "\n  ".join(
                [f"masks of {len(faults)} of {len(sources)} photographs cannot be used", *faults[:_MAX_NAMED], *more]
            ),
            where=where,
            todo="; ".join([*(todos or ["copy the files again"]), "or remove the photographs from the data set"]),
        )
    return found


def _remove_others(store: Path, names: set[str]) -> None:
    """Removes canvases and masks of photographs that are not in the data set any more, and unfinished files.

    A folder without pixel_path.json is no store and may hold somebody's pictures: there nothing is removed.
    """
    if (store / PIXEL_PATH).is_file():
        for path in store.iterdir():
            if path.suffix in (".png", ".part") and path.name not in names:
                path.unlink()


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path, private=True) as stream:
        stream.write(data)
