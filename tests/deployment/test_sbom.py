"""The list of the runtime's packages: valid CycloneDX, complete, and a function of the installation."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from dr_pipeline.deployment import sbom
from dr_pipeline.deployment.sbom import runtime_sbom
from dr_pipeline.errors import EnvironmentProblem
from tests.factories import REPOSITORY

LOCK = REPOSITORY / "requirements.lock"


@pytest.fixture(scope="module")
def text() -> str:
    return runtime_sbom(LOCK)


def test_it_is_valid_and_the_same_again(text: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert runtime_sbom(LOCK) == text
    assert runtime_sbom() != text
    assert "timestamp" not in json.loads(text)["metadata"]


def test_it_has_what_scoring_imports_and_what_that_depends_on(text: str) -> None:
    value = json.loads(text)
    found = {component["name"]: component for component in value["components"]}
    for name in ("numpy", "onnxruntime", "opencv-python-headless", "pydicom", "protobuf"):
        assert found[name]["version"] == version(name)
        assert found[name]["purl"] == f"pkg:pypi/{name}@{version(name)}"
    assert not {"torch", "mlflow", "dvc", "pytest"} & found.keys()
    assert all(component.get("licenses") for component in found.values())
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in value["dependencies"]}
    assert found["protobuf"]["bom-ref"] in edges[found["onnxruntime"]["bom-ref"]]
    assert value["metadata"]["component"]["name"] == "dr-pipeline"


def test_hashes_are_those_of_the_lock_for_the_installed_version(text: str, tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text(
        f"numpy=={version('numpy')} ; python_full_version >= '3' \\\n    --hash=sha256:{'a' * 64} \\\n"
        f"    --hash=sha256:{'b' * 64}\npydicom==0.0.1 \\\n    --hash=sha256:{'c' * 64}\n"
    )
    components = {component["name"]: component for component in json.loads(runtime_sbom(lock))["components"]}
    (archives,) = components["numpy"]["externalReferences"]
    assert archives["hashes"] == [{"alg": "SHA-256", "content": letter * 64} for letter in "ab"]
    assert "externalReferences" not in components["pydicom"]
    assert text.count('"SHA-256"') > 100


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "_OWN", "no-such-package")
    with pytest.raises(EnvironmentProblem, match="no-such-package is not installed"):
        runtime_sbom()
