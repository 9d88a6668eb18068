"""Fixtures of the tests of scoring."""

from pathlib import Path

import pytest

from tests.factories.bundles import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small network."""
    return make_bundle(tmp_path_factory.mktemp("made") / "release")
