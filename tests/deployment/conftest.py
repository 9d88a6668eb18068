"""Exports that several tests of this room look at: each takes seconds."""

from pathlib import Path

import pytest

from tests.factories.trained_folds import VIEWS, exported, prepare, validated


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("single")
        patch.chdir(root)
        prepare(root)
        exported(root)
        validated(root)
    return root


@pytest.fixture(scope="session")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("weighted")
        patch.chdir(root)
        prepare(root, seeds=2, combine="weighted", views=VIEWS)
        exported(root)
    return root
