"""What the OpenAPI description states about a row, with examples."""

from typing import Any

from dr_pipeline.schema import Status
from dr_pipeline.tables.predictions import PREDICTIONS, PredictionRow

_SHA256, _BUNDLE = "3f8a" * 16, "a07c150e8484c820"
_SCORED = PredictionRow(
    image_id="photograph",
    path="photograph",
    sha256=_SHA256,
    status=Status.SCORED,
    grade=2,
    probabilities=(0.06, 0.14, 0.66, 0.1, 0.04),
    expected_grade=1.92,
    referable=True,
    referable_probability=0.8,
    vision_threatening=False,
    needs_human=False,
    quality=0.81,
    width=4288,
    height=2848,
    disc_radius=1720.5,
    camera="CenterVue Eidon",
    brightness=96.4,
    contrast=0.112,
    sharpness=0.83,
    red_over_green=1.71,
    blue_over_green=0.42,
    bundle_id=_BUNDLE,
)
_FAILED = PredictionRow(
    image_id="photograph",
    path="photograph",
    sha256=_SHA256,
    status=Status.FAILED,
    reason="not a JPEG, PNG, TIFF, BMP, WebP or DICOM file",
    bundle_id=_BUNDLE,
)
NOT_DECODED = "export the photograph again as JPEG, PNG, TIFF, BMP, WebP or DICOM, of at most 200 megapixels"
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def row_schema() -> dict[str, Any]:
    """JSON Schema of a row; what a row without a picture lacks may be null."""
    lacking = PREDICTIONS.values(_FAILED)
    properties: dict[str, Any] = {
        column: {"type": [kind, "null"] if lacking[column] is None else kind}
        for column, python in PREDICTIONS.types.items()
        for kind in [_JSON_TYPES[python]]
    }
    properties["status"]["enum"] = [status.value for status in Status]
    return {"type": "object", "properties": properties, "required": list(properties)}


_ERROR = {"error": {"type": "string"}, "todo": {"type": "string"}}
_ERROR_SCHEMA = {"type": "object", "properties": _ERROR, "required": list(_ERROR)}


def _json(description: str, schema: dict[str, Any], example: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"schema": schema} | ({"example": example} if example else {})
    return {"description": description, "content": {"application/json": content}}


def score_responses() -> dict[int | str, dict[str, Any]]:
    """The answers to a photograph."""
    row = row_schema()
    undecoded = {"type": "object", "properties": row["properties"] | _ERROR, "required": [*row["required"], *_ERROR]}
    return {
        200: _json("The row, also of what is ungradable or no fundus photograph", row, PREDICTIONS.values(_SCORED)),
        401: _json("The token is missing or wrong", _ERROR_SCHEMA),
        408: _json("The photograph did not arrive in time", _ERROR_SCHEMA),
        413: _json("The photograph is larger than the limit", _ERROR_SCHEMA),
        415: _json("The body is stated to be no photograph", _ERROR_SCHEMA),
        422: _json(
            "The photograph cannot be decoded: the row, with its reason and the way out",
            undecoded,
            PREDICTIONS.values(_FAILED) | {"error": _FAILED.reason, "todo": NOT_DECODED},
        ),
        503: _json("The queue is full: again after Retry-After", _ERROR_SCHEMA),
    }


def restore_nulls(description: dict[str, Any]) -> None:
    """Puts the examples back in place, of which FastAPI leaves out what is null."""
    answers = description["paths"]["/v1/score"]["post"]["responses"]
    for code, answer in score_responses().items():
        answers[str(code)]["content"] = answer["content"]


def score_request() -> dict[str, Any]:
    """The body and the headers of a photograph."""
    picture = {"schema": {"type": "string", "format": "binary"}}
    kinds = ("image/jpeg", "image/png", "application/dicom", "application/octet-stream")
    name = {
        "name": "X-File-Name",
        "in": "header",
        "required": False,
        "description": "What the row's `path` states, percent-encoded UTF-8; it is written nowhere else",
        "schema": {"type": "string", "default": "photograph"},
    }
    return {"requestBody": {"required": True, "content": dict.fromkeys(kinds, picture)}, "parameters": [name]}
