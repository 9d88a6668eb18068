"""What an ONNX file asks of its reader, checked before a runtime opens it; needs no library.

A runtime reads the weights of a tensor with an "external" location from any file below or beside the working folder
(measured: ONNX Runtime 1.31 follows `../`), so that a network could depend on, or give away, what is there.
"""

from collections.abc import Iterator

from dr_pipeline.errors import BundleError

# Operators that ONNX Runtime has built in: those of ONNX and its own.
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")

# Message → its fields that hold messages, by their numbers in onnx.proto (github.com/onnx/onnx, IR version 13).
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse_tensor", 23: "sparse_tensor"},
    "sparse_tensor": {1: "tensor", 2: "tensor"},
}
_NODE_OPERATOR, _NODE_DOMAIN, _FUNCTION_DOMAIN = 4, 7, 10
_TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 8, 13, 14
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_MAX_VARINT_BITS = 64


def require_self_contained(model: bytes, *, where: str) -> None:
    """Refuses a network that would read other files, or that needs operators ONNX Runtime does not have.

    Args:
        model: An ONNX file.
        where: Its name, for the message.

    Raises:
        BundleError: It would, or it is no ONNX file.
    """
    todo = "export it again with `dvc repro export`: every weight inside the file, operators of ONNX alone"
    try:
        messages = list(_messages(model))
    except (ValueError, IndexError) as error:
        raise BundleError(f"not an ONNX file: {error}", where=where, todo=todo) from None
    own = {_text(fields.get(_FUNCTION_DOMAIN)) for kind, fields in messages if kind == "function"}
    for kind, fields in messages:
        if kind == "tensor" and (fields.get(_TENSOR_EXTERNAL) or fields.get(_TENSOR_LOCATION)):
            name = _text(fields.get(_TENSOR_NAME))
            raise BundleError(f"the weights {name!r} are in another file, outside the bundle", where=where, todo=todo)
        domain = _text(fields.get(_NODE_DOMAIN)) if kind == "node" else ""
        if domain not in _DOMAINS and domain not in own:
            operator = _text(fields.get(_NODE_OPERATOR))
            raise BundleError(f"needs the custom operator {operator!r} of {domain!r}", where=where, todo=todo)


def _messages(model: bytes) -> Iterator[tuple[str, dict[int, int | memoryview]]]:
    """Every message of the file that can hold a node or a tensor, with the last value of each of its fields."""
    waiting = [("model", memoryview(model))]
    while waiting:
        kind, data = waiting.pop()
        inside, fields = _INSIDE.get(kind, {}), dict[int, int | memoryview]()
        for number, value in _fields(data):
            fields[number] = value
            if number in inside and isinstance(value, memoryview):
                waiting.append((inside[number], value))
        yield kind, fields


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message (protobuf.dev, "Encoding")."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire_type == _LENGTH:
            length, at = _varint(data, at)
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if wire_type == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {wire_type} at byte {at}")
        if at + length > len(data):
            raise ValueError("it ends too early")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number and the position after it."""
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift >= _MAX_VARINT_BITS + 7:
            raise ValueError("a number of more than 64 bits")


def _text(value: int | memoryview | None) -> str:
    return bytes(value).decode("utf-8", "replace")[:200] if isinstance(value, memoryview) else ""
