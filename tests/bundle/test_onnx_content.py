"""A network that would read other files, or run other operators than ONNX Runtime's, is refused before it is opened."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from dr_pipeline.bundle import onnx_content
from dr_pipeline.bundle.bundle_files import SUMS, sums_text
from dr_pipeline.bundle.onnx_content import require_self_contained
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.errors import BundleError
from dr_pipeline.files import canonical_json
from tests.factories.bundles import make_bundle, metadata_of, onnx_model


def external(name: str = "w", location: str = "../outside.bin") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def model_with(change) -> bytes:
    model = onnx.load_from_string(onnx_model())
    change(model)
    return model.SerializeToString()


def in_a_subgraph(model) -> None:
    graph = helper.make_graph([helper.make_node("Constant", [], ["x"], value=external())], "then", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph))


def in_a_function(model) -> None:
    node = helper.make_node("Constant", [], ["x"], value=external())
    model.functions.append(helper.make_function("own", "F", [], ["x"], [node], [helper.make_opsetid("", 18)]))


def sparse(model) -> None:
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=external(), indices=TensorProto(), dims=[1]))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.graph.initializer.append(external()),
        lambda model: model.graph.node.append(helper.make_node("Constant", [], ["x"], value=external())),
        lambda model: model.graph.initializer.append(TensorProto(name="w", data_location=TensorProto.EXTERNAL)),
        in_a_subgraph,
        in_a_function,
        sparse,
    ],
    ids=["initialiser", "attribute", "without a place", "subgraph", "function", "sparse"],
)
def test_weights_in_another_file_are_refused(change) -> None:
    with pytest.raises(BundleError, match="outside the bundle"):
        require_self_contained(model_with(change), where="model.onnx")


@pytest.mark.parametrize("domain", ["evil.ops", "ai.onnx.contrib", "org.pytorch.aten"])
def test_a_custom_operator_is_refused(domain: str) -> None:
    def add(model) -> None:
        model.graph.node.append(helper.make_node("Evil", ["logits"], ["x"], domain=domain))

    with pytest.raises(BundleError, match=f"custom operator 'Evil' of '{domain}'"):
        require_self_contained(model_with(add), where="model.onnx")


def test_operators_of_onnx_of_onnx_runtime_and_of_the_models_own_functions_are_fine() -> None:
    def add(model) -> None:
        identity = helper.make_node("Identity", ["x"], ["y"])
        model.functions.append(
            helper.make_function("own", "F", ["x"], ["y"], [identity], [helper.make_opsetid("", 18)])
        )
        model.graph.node.append(helper.make_node("F", ["logits"], ["x"], domain="own"))
        model.graph.node.append(helper.make_node("QLinearAdd", ["logits"], ["z"], domain="com.microsoft"))

    require_self_contained(onnx_model(), where="")
    require_self_contained(model_with(add), where="")


def test_the_numbers_of_fields_are_those_of_onnx() -> None:
    protos = {
        "model": onnx.ModelProto,
        "graph": onnx.GraphProto,
        "function": onnx.FunctionProto,
        "node": onnx.NodeProto,
        "attribute": onnx.AttributeProto,
        "sparse_tensor": onnx.SparseTensorProto,
        "tensor": onnx.TensorProto,
    }
    kinds = {proto.DESCRIPTOR.name: kind for kind, proto in protos.items()}
    for kind, proto in protos.items():
        nested = {
            field.number: kinds[field.message_type.name]
            for field in proto.DESCRIPTOR.fields
            if field.message_type is not None and field.message_type.name in kinds
        }
        assert nested == onnx_content._INSIDE.get(kind, {}), kind
    tensor, node = onnx.TensorProto.DESCRIPTOR.fields_by_name, onnx.NodeProto.DESCRIPTOR.fields_by_name
    assert [tensor[name].number for name in ("name", "external_data", "data_location")] == [8, 13, 14]
    assert [node[name].number for name in ("op_type", "domain")] == [4, 7]
    assert onnx.FunctionProto.DESCRIPTOR.fields_by_name["domain"].number == 10


@given(st.binary(max_size=100), st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_whatever_stands_there_nothing_but_a_bundle_error_is_raised(junk: bytes, at: int) -> None:
    model = onnx_model()
    for data in (junk, model[:at] + junk + model[at + len(junk) :], model[:at]):
        try:
            require_self_contained(data, where="")
        except BundleError:
            continue


def test_a_bundle_with_such_a_network_does_not_load(tmp_path, monkeypatch) -> None:
    np.ones((3, 5), np.float32).tofile(tmp_path / "outside.bin")
    monkeypatch.chdir(tmp_path)

    def move_out(model) -> None:
        model.graph.initializer[0].CopyFrom(external("weights", "outside.bin"))
        model.graph.initializer[0].dims[:] = [3, 5]

    bundle, model = make_bundle(tmp_path / "release"), model_with(move_out)
    metadata = canonical_json(metadata_of(model)).encode()
    for name, data in {"model.onnx": model, "metadata.json": metadata, "configs/metadata.json": metadata}.items():
        (bundle / name).write_bytes(data)
    files = [path for path in bundle.rglob("*") if path.is_file() and path.name != SUMS]
    (bundle / SUMS).write_text(sums_text({path.relative_to(bundle).as_posix(): path.read_bytes() for path in files}))
    with pytest.raises(BundleError, match="'weights' are in another file, outside the bundle"):
        read_bundle(bundle, threads=1)
