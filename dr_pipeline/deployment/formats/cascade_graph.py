"""Two networks as one ONNX graph: the large one runs on those photographs of a batch that the small one passes on."""

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper

from dr_pipeline.bundle.session import INPUT_NAME, LOGITS_NAME, PRECISION, PROBABILITIES_NAME, ROUTING_NAME
from dr_pipeline.deployment.cascade import Routing
from dr_pipeline.schema import GRADES, NUM_GRADES

_SMALL, _LARGE = "small/", "large/"


def cascade_graph(small: ModelProto, large: ModelProto, routing: Routing) -> ModelProto:
    """One graph: `image` → `logits` (each network's over its temperature), `probabilities` and `routing`.

    `routing`, float32 (N,), is the distance to the nearest cut point less the margin: below 0 both networks have
    graded. Where no photograph of a batch is below, the large network gets a batch of none.

    Args:
        small: uint8 (N, s, s, 3) → logits and probabilities; the temperature is not inside.
        large: Likewise, of the same side.
        routing: As fitted on validation.

    Raises:
        ValueError: The inputs have different sides.
    """
    one, two = (_part(model, prefix) for model, prefix in ((small, _SMALL), (large, _LARGE)))
    sides = [[dim.dim_value for dim in part.graph.input[0].type.tensor_type.shape.dim[1:]] for part in (one, two)]
    if sides[0] != sides[1]:
        raise ValueError(f"one graph needs one side, given {sides[0]} and {sides[1]}")
    constants = {
        "grades": np.array(GRADES, np.float32)[:, None],
        "cut_points": np.array([routing.cut_points], np.float32),
        "margin": np.array(routing.margin, np.float32),
        "zero": np.array(0, np.float32),
        "last_axis": np.array([1], np.int64),
        "small_temperature": np.array(routing.temperatures[0], np.float32),
        "large_temperature": np.array(routing.temperatures[1], np.float32),
    }
    first = [
        helper.make_node("Div", [f"{_SMALL}{LOGITS_NAME}", "small_temperature"], ["small_logits"]),
        helper.make_node("Softmax", ["small_logits"], ["small_probabilities"], axis=1),
        helper.make_node("MatMul", ["small_probabilities", "grades"], ["expected_grade"]),
        helper.make_node("Sub", ["expected_grade", "cut_points"], ["to_cuts"]),
        helper.make_node("Abs", ["to_cuts"], ["distances"]),
        helper.make_node("ReduceMin", ["distances", "last_axis"], ["distance"], keepdims=0),
        helper.make_node("Sub", ["distance", "margin"], [ROUTING_NAME]),
        helper.make_node("Less", [ROUTING_NAME, "zero"], ["is_asked"]),
        helper.make_node("NonZero", ["is_asked"], ["asked_row"]),
        helper.make_node("Transpose", ["asked_row"], ["asked_column"], perm=[1, 0]),
        helper.make_node("Squeeze", ["asked_column", "last_axis"], ["asked"]),
        helper.make_node("Gather", [INPUT_NAME, "asked"], [f"{_LARGE}{INPUT_NAME}"], axis=0),
    ]
    last = [
        helper.make_node("Div", [f"{_LARGE}{LOGITS_NAME}", "large_temperature"], ["large_logits"]),
        helper.make_node("ScatterND", ["small_logits", "asked_column", "large_logits"], [LOGITS_NAME]),
        helper.make_node("Softmax", [LOGITS_NAME], [PROBABILITIES_NAME], axis=1),
    ]
    for node in one.graph.node:
        node.input[:] = [INPUT_NAME if name == f"{_SMALL}{INPUT_NAME}" else name for name in node.input]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(
        [*one.graph.node, *first, *two.graph.node, *last],
        "cascade",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, ["N", *sides[0]])],
        [
            helper.make_tensor_value_info(LOGITS_NAME, TensorProto.FLOAT, ["N", NUM_GRADES]),
            helper.make_tensor_value_info(PROBABILITIES_NAME, TensorProto.FLOAT, ["N", NUM_GRADES]),
            helper.make_tensor_value_info(ROUTING_NAME, TensorProto.FLOAT, ["N"]),
        ],
        [*one.graph.initializer, *two.graph.initializer, *tensors],
    )
    imports = {item.domain: item.version for part in (one, two) for item in part.opset_import}
    made: ModelProto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in sorted(imports.items())],
        ir_version=max(one.ir_version, two.ir_version),
    )
    made.functions.extend([*one.functions, *two.functions])
    return made


def precision_of(model: ModelProto, *, default: str) -> str:
    """The precision that a file states."""
    return next((str(item.value) for item in model.metadata_props if item.key == PRECISION), default)


def _part(model: ModelProto, prefix: str) -> ModelProto:
    """The network with its own names, without its softmax."""
    part = compose.add_prefix(model, prefix)
    wanted = {f"{prefix}{LOGITS_NAME}"}
    nodes = list[onnx.NodeProto]()
    for node in reversed(part.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.insert(0, node)
    del part.graph.node[:]
    part.graph.node.extend(nodes)
    return part
