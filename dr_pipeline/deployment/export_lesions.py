"""lesions.onnx: the network of all photographs, which states what a reader needs, and its parity on real tiles."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_pipeline.bundle.bundle_files import CARD, LESIONS, METADATA, SUMS, WEIGHTS, sums_text
from dr_pipeline.bundle.card import model_card
from dr_pipeline.bundle.lesions import ENTRY, VERSION, LesionModel
from dr_pipeline.bundle.session import INPUT_NAME, PROBABILITIES_NAME, open_session
from dr_pipeline.bundle.verify import verified_content, verify_weights
from dr_pipeline.bundle.write import write_files
from dr_pipeline.bundle_storage import read_stored
from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.deployment.formats.onnx_graph import to_onnx, write_onnx
from dr_pipeline.deployment.parity import MAX_PROBABILITY_DIFFERENCE
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import read_json, sha256_file
from dr_pipeline.models.segmenter import Segmenter
from dr_pipeline.models.segmenter_files import ALL, SegmenterSpec, network_hashes, read_network

_PARITY_PHOTOGRAPHS = 8


@dataclass(frozen=True)
class LesionParity:
    """How far the exported network is from the trained one.

    Attributes:
        tiles: Number of tiles compared, each of another photograph.
        max_probability_difference: The largest over their pixels and kinds.
    """

    tiles: int
    max_probability_difference: float


class _Probabilities(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.network(image))


def read_points(path: Path) -> dict[str, Any]:
    """Reads the file that `validate-lesions` wrote.

    Returns:
        `thresholds`, `min_pixels` and `min_peaks` by kind, the hashes of the `networks` that they were fitted on, by
        file, and perhaps the figures `aupr`, by kind, and `lesions_found_without_lesions`.

    Raises:
        DataError: It is missing, malformed, or of an earlier version, which did not state the networks.
    """
    value = read_json(path)
    stated: dict[str, Any] = value if isinstance(value, dict) else {}
    for key, (what, is_right) in _POINTS.items():
        entry = stated.get(key, {} if key == "aupr" else None)
        if not isinstance(entry, dict) or not all(map(is_right, entry.values())):
            earlier = key == "networks" and entry is None
            raise DataError(
                "an earlier version wrote these operating points: they do not state the networks that they are of"
                if earlier
                else f"no operating points of lesions: {key!r} should be a mapping to {what}",
                where=str(path),
                todo="run `dvc repro validate-lesions`",
            )
    return stated


def _is_probability(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= 1


# The entries of points.json: what they have for each kind, or for each file of networks.
_POINTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "thresholds": ("numbers in (0, 1]", _is_probability),
    "min_pixels": ("whole numbers of 1 or more", lambda value: type(value) is int and value >= 1),
    "min_peaks": ("numbers in (0, 1]", _is_probability),
    "aupr": ("figures", lambda value: isinstance(value, dict)),
    "networks": ("hashes", lambda value: isinstance(value, str)),
}


def export_lesions(
    networks: Path, spec: SegmenterSpec, points: Mapping[str, Any], store: LesionStore, path: Path
) -> LesionParity:
    """Writes lesions.onnx and compares it with the trained network.

    Args:
        networks: The folder of the networks, with that of all photographs.
        spec: What model.json in it states.
        points: As `read_points` gives them.
        store: The canvases that the networks were trained on, for real tiles.
        path: The file to write; one that is there is replaced after all checks.

    Raises:
        DataError: The network is missing.
        GateError: The exported network gives other probabilities, or points, networks and canvases do not belong
            together.
        BundleError: A bundle's reader would refuse the file.
    """
    names = [kind.name for kind in spec.kinds]
    if any(sorted(points[key]) != sorted(names) for key in ("thresholds", "min_pixels", "min_peaks")):
        raise GateError(
            f"thresholds are not of the network's kinds: {', '.join(names)}",
            where="operating points of the lesions",
            todo="run `dvc repro validate-lesions`",
        )
    network = read_network(networks, ALL, spec)
    _require_one_run(networks, spec, points, store)
    entry = {
        "version": VERSION,
        "kinds": names,
        "canvas_px": spec.canvas_px,
        "tile_px": spec.training.tile_px,
        "overlap": spec.training.overlap,
        "um_per_px": spec.um_per_px,
        "thresholds": dict(points["thresholds"]),
        "min_pixels": dict(points["min_pixels"]),
        "min_peaks": dict(points["min_peaks"]),
        "aupr": dict(points.get("aupr", {})),
        "lesions_found_without_lesions": dict(points.get("lesions_found_without_lesions", {})),
    }
    graph = to_onnx(_Probabilities(network).eval(), input_px=spec.training.tile_px, outputs=[PROBABILITIES_NAME])
    unchecked = path.with_name(f"{path.name}.unchecked")  # a network that is refused replaces none
    try:
        write_onnx(graph, unchecked, entries={ENTRY: json.dumps(entry, sort_keys=True)})
        LesionModel(unchecked.read_bytes(), threads=1)
        parity = _require_parity(network, unchecked, _tiles(store, spec.training.tile_px), where=str(path))
        unchecked.replace(path)
    finally:
        unchecked.unlink(missing_ok=True)
    return parity


def _require_one_run(networks: Path, spec: SegmenterSpec, points: Mapping[str, Any], store: LesionStore) -> None:
    """Checks that the points were fitted on these networks, and these trained on the canvases."""
    fitted, found = points["networks"], network_hashes(networks)
    if other := sorted(name for name in {*fitted, *found} if fitted.get(name) != found.get(name)):
        raise GateError(
            f"the operating points were fitted on other networks; of these differ {', '.join(other)}",
            where=str(networks),
            todo="run `dvc repro validate-lesions`",
        )
    if sha256_file(store.index_path) != spec.index_sha256:
        raise GateError(
            "the networks were trained on other canvases, or on other folds of them",
            where=f"{networks} and {store.index_path}",
            todo="run `dvc repro train-lesions`",
        )


def _tiles(store: LesionStore, tile_px: int) -> NDArray[np.uint8]:
    """The middle of each of some photographs at even distances over the store, (N, tile, tile, 3)."""
    image_ids = list(store.rows)
    chosen = image_ids[:: math.ceil(len(image_ids) / _PARITY_PHOTOGRAPHS)]
    start = (store.pixel_path.canvas_px - tile_px) // 2
    middle = np.s_[start : start + tile_px, start : start + tile_px]
    return np.stack([store.read(image_id).pixels[middle] for image_id in chosen])


def _require_parity(network: Segmenter, path: Path, tiles: NDArray[np.uint8], *, where: str) -> LesionParity:
    session = open_session(path, where=where, threads=1)
    largest = 0.0
    for tile in tiles:
        with torch.inference_mode():
            expected = torch.sigmoid(network(torch.from_numpy(tile)[None])).numpy()
        (found,) = session.run([PROBABILITIES_NAME], {INPUT_NAME: tile[None]})
        largest = max(largest, float(np.abs(found - expected).max()))
    if not largest <= MAX_PROBABILITY_DIFFERENCE:
        raise GateError(
            f"the exported network's probabilities differ by up to {largest:.2g} on {len(tiles)} tiles, allowed "
            f"{MAX_PROBABILITY_DIFFERENCE:g}",
            where=where,
            todo="do not ship it; report the versions of torch, onnxscript and onnxruntime",
        )
    return LesionParity(len(tiles), largest)


def add_lesions(bundle: Path, lesions: Path, out: Path) -> None:
    """Writes a copy of a bundle with this network for lesions; the grading network and its id stay as they are.

    A signature is left out, since the copy has another file: sign it again.

    Args:
        bundle: The bundle.
        lesions: lesions.onnx.
        out: The copy's folder, which is new, empty, or a bundle.

    Raises:
        BundleError: The bundle is damaged, the network cannot be read, or `out` holds something else.
    """
    network = lesions.read_bytes()
    described = LesionModel(network, threads=1).description
    verify_weights(bundle)
    content = verified_content(bundle) | {WEIGHTS: read_stored(bundle, WEIGHTS), LESIONS: network}
    content[CARD] = model_card(json.loads(content[METADATA]), described).encode()
    write_files(out, content | {SUMS: sums_text(content).encode()})
