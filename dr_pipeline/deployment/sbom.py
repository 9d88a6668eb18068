"""The list of packages that scoring runs on, as CycloneDX JSON (ECMA-424), by the package cyclonedx-python-lib."""

import json
import platform
import re
import uuid
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline import __version__
from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.files import canonical_json, sha256_json
from dr_pipeline.schema import RESEARCH_USE

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

_OWN = "dr-pipeline"
_LOCKED = re.compile(r"([\w.-]+)==(\S+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_MAX_LICENCE_NAME = 100  # some packages state the whole text instead


def runtime_sbom(lock: Path | None = None) -> str:
    """The packages of the base installation here, with what they depend on, versions, licences and hashes.

    Equal installations give equal text: no time of day, and a serial number that follows from the content.

    Args:
        lock: requirements.lock. A package that it has in the installed version gets the SHA-256 of the archives that
            the lock accepts; None, or another version: no hashes.

    Raises:
        EnvironmentProblem: A package of the base installation is not installed.
    """
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    hashes = _locked_hashes(lock.read_text(encoding="utf-8")) if lock else {}
    installed = _closure(_OWN)
    components = {name: _component(name, found, hashes) for name, found in installed.items()}
    bom = Bom(components=[component for name, component in components.items() if name != _OWN])
    bom.metadata.component = components[_OWN]
    bom.metadata.properties = [
        Property(name="dr_pipeline:python", value=f"{platform.python_implementation()} {platform.python_version()}"),
        Property(name="dr_pipeline:system", value=f"{platform.system()} {platform.machine()}"),
        Property(name="dr_pipeline:use", value=RESEARCH_USE),
    ]
    for name, found in installed.items():
        bom.register_dependency(components[name], [components[other] for other in _requirements(found)])
    value = json.loads(JsonV1Dot6(bom).output_as_string())
    del value["metadata"]["timestamp"], value["serialNumber"]
    value["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, sha256_json(value)).urn
    return canonical_json(value)


def _closure(root: str) -> dict[str, Distribution]:
    """A package and all that it depends on here, by normalised name, sorted."""
    found: dict[str, Distribution] = {}
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            raise EnvironmentProblem(
                f"the package {name} is not installed", where="the list of packages", todo="pip install -e ."
            ) from None
        waiting += _requirements(found[name])
    return dict(sorted(found.items()))


def _requirements(found: Distribution) -> list[str]:
    """Normalised names of what a package needs here, without its extras."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    needed = map(Requirement, found.requires or [])
    return [canonicalize_name(one.name) for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]


def _component(name: str, found: Distribution, hashes: Mapping[tuple[str, str], list[str]]) -> "Component":
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    version = __version__ if name == _OWN else found.version
    archives = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{name}/{version}/#files"),
        comment="archives of this version that requirements.lock accepts; one of them was installed",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256) for sha256 in hashes.get((name, version), [])],
    )
    purl = PackageURL("pypi", name=name, version=version)
    licence = _licence(found)
    return Component(
        type=ComponentType.APPLICATION if name == _OWN else ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        external_references=[archives] if archives.hashes else [],
    )


def _licence(found: Distribution) -> str:
    """As the package states it: an SPDX expression, a short name, or the classifier of PyPI; "" where it does not."""
    about = found.metadata
    classifiers = [text for text in about.get_all("Classifier") or [] if text.startswith("License :: OSI Approved ::")]
    (name, *_) = about.get_all("License-Expression") or about.get_all("License") or [""]
    if not name or len(name) > _MAX_LICENCE_NAME or "\n" in name:
        name = classifiers[0].rpartition(" :: ")[2] if classifiers else ""
    return str(name)


def _locked_hashes(lock: str) -> dict[tuple[str, str], list[str]]:
    """The SHA-256 of every archive that a lock file accepts, by package and version."""
    hashes: dict[tuple[str, str], list[str]] = {}
    here: list[str] = []
    for line in lock.splitlines():
        if match := _LOCKED.match(line):
            here = hashes.setdefault((match[1], match[2]), [])
        elif match := _HASH.search(line):
            here.append(match[1])
    return hashes
