"""The actions `convert`, `compare` and `features` of `dr-pipeline models`."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from dr_pipeline.canvases.read import CanvasStore
    from dr_pipeline.models.grader import Grader
    from dr_pipeline.models.inspect.model_sources import Comparand

_SEED = 0  # of the noise that stands for photographs
_SHOWN = 10


def convert(args: argparse.Namespace) -> Outcome:
    """Writes foreign weights as safetensors.

    Raises:
        DataError: They cannot be read, or do not fit the model.
    """
    from dr_pipeline.errors import ParamsError
    from dr_pipeline.files import sha256_file
    from dr_pipeline.models.convert.convert import convert as converted
    from dr_pipeline.models.convert.name_map import read_name_map
    from dr_pipeline.models.weights.load import write_tensors

    if args.out.suffix != ".safetensors":
        raise ParamsError(f"--out is {args.out.name}, not a .safetensors file", todo="name it so")
    made = converted(args.source, model=args.model, rules=read_name_map(args.names) if args.names else ())
    write_tensors(made.tensors, args.out, notes=made.notes)
    notes = "".join(f"\n  {note}" for note in made.notes)
    return Outcome(
        wrote=(args.out,),
        headline=f"{len(made.tensors)} tensors of {args.model}, the classifier left out{notes}",
        next_command=f"set weights: file:{args.out}#{sha256_file(args.out)} in params.yaml",
    )


def compare(args: argparse.Namespace) -> Outcome:
    """Tells two sets of weights apart, and what they compute.

    Raises:
        DataError: A file cannot be read.
        ParamsError: They cannot be compared, or one was trained on canvases of another pixel path.
    """
    from dr_pipeline.errors import ParamsError
    from dr_pipeline.files import write_csv
    from dr_pipeline.models.inspect.compare import COLUMNS, Status, differences
    from dr_pipeline.models.inspect.model_sources import open_comparand

    a, b = (open_comparand(path, model=args.model, input_px=args.px) for path in (args.a, args.b))
    store = _canvases(args, a, b)
    lines = [
        f"{name} has {side.num_members} networks: its first one's tensors; a bundle's graph computes their combination"
        for name, side in (("A", a), ("B", b))
        if side.num_members > 1
    ]
    lines += [f"{name}: {side.listing}" for name, side in (("A", a), ("B", b)) if side.listing]
    table = differences(a.tensors, b.tensors) if a.tensors and b.tensors else ()
    if args.out and not table:
        raise ParamsError("a bare ONNX graph has no tensors of the network's names", todo="leave --out out")
    if args.out:
        write_csv(args.out, COLUMNS, [row.row() for row in table])
    if table:
        counts = {status: sum(row.status == status for row in table) for status in Status}
        lines.append("tensors: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count))
        changed = [row for row in table if row.status != Status.EQUAL]
        changed.sort(key=lambda row: float("inf") if row.relative is None else row.relative, reverse=True)
        lines += [
            f"  {row.tensor}: {row.status}"
            + ("" if row.max_abs is None else f", at most {row.max_abs:.3g}, relative {row.relative:.3g}")
            for row in changed[:_SHOWN]
        ]
        if len(changed) > _SHOWN:
            lines.append(f"  and {len(changed) - _SHOWN} more" + ("" if args.out else "; --out FILE.csv lists all"))
    if a.forwards and b.forwards:
        try:
            lines.append(_parity(a, b, store, args.photographs))
        except ParamsError as error:
            if not table:
                raise
            lines.append(f"not run: {error.what}; {error.todo}")
    elif not lines:
        raise ParamsError("nothing to compare", todo="give --model for a weights file beside an ONNX graph")
    return Outcome(wrote=(args.out,) if args.out else (), headline="\n".join(lines), next_command="")


def _canvases(args: argparse.Namespace, a: "Comparand", b: "Comparand") -> "CanvasStore | None":
    """The canvases to run both on, where some are named: those that each side was trained on, as far as is known."""
    from dr_pipeline.canvases.read import CanvasStore
    from dr_pipeline.models.weights.trained import require_pixel_path

    if args.canvases is None:
        return None
    store = CanvasStore(args.canvases)
    for side, path in ((a, args.a), (b, args.b)):
        if side.pixel_path is not None:
            require_pixel_path(side.pixel_path, store.pixel_path, where=str(path))
    return store


def _parity(a: "Comparand", b: "Comparand", store: "CanvasStore | None", count: int) -> str:
    from dr_pipeline.models.inspect.model_sources import common, parity

    kind, input_px = common(a, b)
    photographs = _photographs(store, count, input_px)
    apart = parity(a, b, kind, photographs)
    source = "canvases" if store else f"photographs of noise, seed {_SEED}"
    return f"{kind} of {len(photographs)} {source}: at most {apart.max():.3g} apart, {apart.mean():.3g} in the mean"


def _photographs(store: "CanvasStore | None", count: int, input_px: int) -> "NDArray[np.uint8]":
    import numpy as np

    from dr_pipeline.errors import DataError
    from dr_pipeline.fundus.canvas import model_input

    if store is None:
        return np.random.default_rng(_SEED).integers(0, 256, (count, input_px, input_px, 3), dtype=np.uint8)
    chosen = [image_id for image_id, row in store.rows.items() if row["shard"]][:count]
    if not chosen:
        raise DataError("there are no canvases", where=str(store.root), todo="leave --canvases out to compare on noise")
    return np.stack([model_input(store.read(image_id), input_px) for image_id in chosen])


def features(args: argparse.Namespace) -> Outcome:
    """Writes embeddings of all photographs of a split table.

    Raises:
        DataError: A canvas or weights file cannot be read.
        ParamsError: No such model or level, or the network was trained on canvases of another pixel path.
    """
    from dr_pipeline.canvases.read import CanvasStore
    from dr_pipeline.logs import progress
    from dr_pipeline.models.inspect.features import level_named, write_features
    from dr_pipeline.tables.splits import read_splits

    store, rows = CanvasStore(args.canvases), read_splits(args.splits)
    grader, input_px, facts = _network(args, store)
    level = level_named(grader, args.level)
    starts = progress(range(0, len(rows), args.batch), label="features", total=-(-len(rows) // args.batch))
    listed = [{"image_id": row.image_id, "split": row.split, "fold": row.fold, "grade": row.grade} for row in rows]
    parts = _embedded(grader, store, (listed[start : start + args.batch] for start in starts), input_px, level)
    count, dimensions = write_features(args.out, parts, facts=facts | {"level": level, "input_px": str(input_px)})
    return Outcome(
        wrote=(args.out,),
        headline=f"{count} photographs × {dimensions} numbers of {facts['model']}, level {level}; {facts['weights']}",
        next_command="",
    )


def _network(args: argparse.Namespace, store: "CanvasStore") -> "tuple[Grader, int, dict[str, str]]":
    """The grader, the side of its input, and what it is."""
    from dr_pipeline.models.grader import create_grader
    from dr_pipeline.models.inspect.catalogue import expectations
    from dr_pipeline.models.weights.load import initialise
    from dr_pipeline.models.weights.trained import read_trained, require_pixel_path

    if args.trained:
        grader, spec = read_trained(args.trained)
        require_pixel_path(spec["pixel_path"], store.pixel_path, where=str(args.trained))
        weights = f"trained as {spec['candidate']}, fold {spec['fold']}, member {spec['members'][0]}"
        return grader, spec["input_px"], {"model": spec["model"], "weights": weights}
    input_px = args.px or expectations(args.model).input_px[0]
    grader = create_grader(args.model, input_px=input_px, drop_rate=0.0, drop_path_rate=0.0).eval()
    weights = initialise(grader, model=args.model, weights=args.weights)
    return grader, input_px, {"model": args.model, "weights": weights}


def _embedded(
    grader: "Grader", store: "CanvasStore", batches: "Iterator[list[dict[str, Any]]]", input_px: int, level: str
) -> "Iterator[tuple[list[dict[str, Any]], Tensor]]":
    import numpy as np
    import torch

    from dr_pipeline.fundus.canvas import model_input
    from dr_pipeline.models.inspect.features import embed

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    grader.to(device)
    for rows in batches:
        canvases = np.stack([model_input(store.read(row["image_id"]), input_px) for row in rows])
        yield rows, embed(grader, torch.from_numpy(canvases).to(device), level=level)
