"""metrics.json: what its schema says, the figures of the page, and names that DVC and MLflow can show."""

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from dr_pipeline.files import canonical_json
from dr_pipeline.reporting.headline import evidence_limits
from dr_pipeline.reporting.metrics_document import metrics_document
from tests.factories import REPOSITORY
from tests.factories.reports import external_report, sources

SCHEMA = json.loads((REPOSITORY / "docs/reference/metrics.schema.json").read_text())


def valid(document: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(canonical_json(document))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(written, SCHEMA, cls=jsonschema.Draft202012Validator)
    return written


def test_it_is_as_the_schema_says_with_and_without_other_data_sets() -> None:
    shown = sources()
    document = valid(metrics_document(shown))
    assert document["external"] == {}
    assert document["evidence_limits"] == evidence_limits(shown)
    further = valid(metrics_document(replace(shown, external={"far": external_report()})))
    assert further["external"]["far"]["all"]["qwk"]["n"] == 125
    assert set(further["external"]["far"]["screening"]) == {
        "referable_sensitivity",
        "referable_specificity",
        "referred",
    }


def test_its_figures_are_those_of_the_stages() -> None:
    shown = sources()
    document = metrics_document(shown)
    for name, figure in document["test"]["all"].items():
        assert figure == shown.test[name]
        assert document["test"]["gradable"][name] == shown.test["gradable"][name]
    assert document["validation"]["all"]["qwk"] == shown.validation["lite0"]["qwk"]
    assert document["test"]["screening"]["referred"] == shown.test["screening"]["intention_to_screen"]["referred"]
    assert document["latency"] == {
        "p50_ms": 14.0,
        "p95_ms": pytest.approx(18.2),
        "p99_ms": 21.0,
        "n": 60,
        "budget_ms": 55.0,
        "machine": "f" * 16,
    }


def test_an_undefined_figure_is_null_with_its_reason() -> None:
    undefined = {"value": None, "low": None, "high": None, "n": 0, "note": "undefined: no photograph"}
    shown = sources()
    document = valid(metrics_document(replace(shown, test=dict(shown.test) | {"referable_auc": undefined})))
    assert document["test"]["all"]["referable_auc"] == undefined


@pytest.mark.parametrize("key", ["bundle_id", "test", "evidence_limits"])
def test_the_schema_refuses_what_lacks_an_entry(key: str) -> None:
    document = metrics_document(sources())
    del document[key]
    with pytest.raises(jsonschema.ValidationError, match=key):
        valid(document)


def test_the_schema_refuses_a_figure_without_interval() -> None:
    document = metrics_document(sources())
    document["test"]["all"]["qwk"] = {"value": 0.9, "n": 10}
    with pytest.raises(jsonschema.ValidationError, match="'low' is a required property"):
        valid(document)
