"""The folder of trained segmenters: model.json describes them, one file of weights each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import read_json, sha256_file, write_json
from dr_pipeline.lesions.kinds import Kind, kinds_named
from dr_pipeline.models.segmenter import Segmenter, segmenter_from_params
from dr_pipeline.models.weights.checkpoint_files import read_tensors, write_tensors
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.params.section import validate

_VERSION = 1
_DESCRIPTION = "model.json"
# The network of all photographs, which is exported; the others are named after the fold that they did not see.
ALL = "all"


@dataclass(frozen=True)
class SegmenterSpec:
    """What all networks of a cross-validation share.

    Attributes:
        kinds: Outputs, in order.
        training: Network, tiles and schedule.
        folds: Number of folds.
        canvas_px: Side of a canvas.
        um_per_px: Micrometres per pixel of the canvas.
        index_sha256: Of the index of the canvases that they were trained on.
    """

    kinds: tuple[Kind, ...]
    training: LesionTraining
    folds: int
    canvas_px: int
    um_per_px: float
    index_sha256: str


def network_name(fold: int | None) -> str:
    """The name of the network that did not see a fold; None: of all photographs."""
    return ALL if fold is None else f"fold-{fold}"


def grader_name(network: str) -> str:
    """The name of the grader on a network's encoder, which a multi-task training writes as well."""
    return f"{network}-grader"


def write_spec(folder: Path, spec: SegmenterSpec) -> None:
    """Writes model.json."""
    document = {
        "schema_version": _VERSION,
        "kinds": [kind.name for kind in spec.kinds],
        "training": spec.training.model_dump(mode="json"),
        "folds": spec.folds,
        "canvas_px": spec.canvas_px,
        "um_per_px": spec.um_per_px,
        "index_sha256": spec.index_sha256,
    }
    write_json(folder / _DESCRIPTION, document)


def read_spec(folder: Path) -> SegmenterSpec:
    """Reads model.json.

    Raises:
        DataError: It is missing, of another version, or malformed.
    """
    path = folder / _DESCRIPTION
    value = read_json(path)
    todo = "run `dvc repro train-lesions`"
    try:
        version = value["schema_version"]
        spec = SegmenterSpec(
            kinds=kinds_named(value["kinds"], where=str(path)),
            training=validate(value["training"], LesionTraining, where=str(path)),
            folds=int(value["folds"]),
            canvas_px=int(value["canvas_px"]),
            um_per_px=float(value["um_per_px"]),
            index_sha256=str(value["index_sha256"]),
        )
    except ParamsError as error:
        raise DataError(error.what, where=error.where, todo=todo) from None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"does not describe networks for lesions: {type(error).__name__}: {error}", where=str(path), todo=todo
        ) from None
    if version != _VERSION:
        raise DataError(f"is of version {version!r}; this program reads {_VERSION}", where=str(path), todo=todo)
    return spec


def remove_spec(folder: Path) -> None:
    """Removes model.json, without which the folder's networks are not read: before the first of them is replaced."""
    (folder / _DESCRIPTION).unlink(missing_ok=True)


def network_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of model.json and of each file of weights, by the file's name."""
    return {path.name: sha256_file(path) for path in [folder / _DESCRIPTION, *sorted(folder.glob("*.safetensors"))]}


def write_network(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Writes the weights of one network."""
    write_tensors(tensors, _weights(folder, name))


def read_network(folder: Path, name: str, spec: SegmenterSpec) -> Segmenter:
    """Reads one network, in evaluation mode.

    Raises:
        DataError: Its file is missing or damaged, or holds other weights than `spec` describes.
    """
    path = _weights(folder, name)
    if not path.is_file():
        raise DataError("a network is missing", where=str(path), todo="run `dvc repro train-lesions`")
    network, _ = segmenter_from_params(spec.training, len(spec.kinds))
    try:
        network.load_state_dict(read_tensors((path,)))
    except DataError as error:
        raise DataError(error.what, where=str(path), todo="run `dvc repro train-lesions`") from None
    except RuntimeError as error:
        raise DataError(
            f"not the weights of the network that {_DESCRIPTION} describes: {str(error).partition(chr(10))[0]}",
            where=str(path),
            todo="run `dvc repro train-lesions`",
        ) from None
    return network.eval()


def _weights(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"
