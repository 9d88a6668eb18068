"""Networks for lesions as ONNX graphs, built in milliseconds: each plane is bright where the picture has one colour."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

# Kinds and the pure colours that show them; a pixel is the kind of which it is nearest, other colours are none.
COLOURS = {
    "microaneurysms": (255, 0, 255),
    "hemorrhages": (255, 0, 0),
    "hard_exudates": (255, 255, 0),
    "cotton_wool_spots": (0, 255, 255),
    "optic_disc": (255, 255, 255),
    "fovea": (0, 0, 255),
}
TILE_PX, CANVAS_PX = 128, 256
UM_PER_PX = 45 * 288 / (CANVAS_PX - 2)
_REACH, _STEEP = 90.0, 0.2  # a colour this far from the pure one has a probability of a half


def description(**changes: Any) -> dict[str, Any]:
    """The entry `lesions` of the file's metadata."""
    value: dict[str, Any] = {
        "version": 2,
        "kinds": list(COLOURS),
        "canvas_px": CANVAS_PX,
        "tile_px": TILE_PX,
        "overlap": 0.25,
        "um_per_px": UM_PER_PX,
    }
    kinds = changes.get("kinds", value["kinds"])
    value |= {"thresholds": dict.fromkeys(kinds, 0.5), "min_pixels": dict.fromkeys(kinds, 3)}
    value["min_peaks"] = dict.fromkeys(kinds, 0.5)
    return value | changes


def colour_network(
    *,
    colours: Mapping[str, tuple[int, int, int]] = COLOURS,
    input_type: int = TensorProto.UINT8,
    output: str = "probabilities",
    entry: str | None = None,
    **changes: Any,
) -> bytes:
    """uint8 (N, tile, tile, 3) → float32 (N, K, tile, tile); `changes` are entries of its description."""
    stated = description(**{"kinds": list(colours)} | changes)
    tile, number = stated["tile_px"], len(colours)
    tensors = {
        "colours": np.array(list(colours.values()), np.float32).reshape(1, number, 3, 1, 1),
        "channel": np.array([2], np.int64),
        "planes": np.array([1], np.int64),
        "reach": np.array(_REACH**2, np.float32),
        "steep": np.array(_STEEP / _REACH, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Unsqueeze", ["first", "planes"], ["each"]),
        helper.make_node("Sub", ["each", "colours"], ["difference"]),
        helper.make_node("ReduceSumSquare", ["difference", "channel"], ["squared"], keepdims=0),
        helper.make_node("Sub", ["reach", "squared"], ["near"]),
        helper.make_node("Mul", ["near", "steep"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", input_type, ["N", tile, tile, 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", number, tile, tile])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model.metadata_props.add(key="lesions", value=json.dumps(stated) if entry is None else entry)
    return bytes(model.SerializeToString())
