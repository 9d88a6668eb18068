"""Fixtures that several rooms' tests share."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.factories import REPOSITORY

# A test may be skipped for data or a GPU that is not there, and for nothing else.
SKIP_REASONS = ("absent", "no GPU")
_unexpected_skips: list[str] = []

# No deadlines: a busy machine is no fault, and speed is measured in benchmarks.
settings.register_profile("whole", deadline=None, max_examples=60)
settings.register_profile("fast", deadline=None, max_examples=20)  # for `make test-fast`
settings.load_profile("whole")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with public data that is never committed."""
    folder = Path(os.environ.get("DR_PIPELINE_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder.name} is absent; set DR_PIPELINE_SHARED")
    return folder


@pytest.fixture(scope="session")
def idrid_dir(shared_dir: Path) -> Path:
    return _present(shared_dir / "data" / "idrid", "the IDRiD photographs")


@pytest.fixture(scope="session")
def cameras_dir(shared_dir: Path) -> Path:
    return _present(shared_dir / "data" / "cameras", "the photographs of ten cameras")


@pytest.fixture(scope="session")
def lite0_weights(shared_dir: Path) -> Path:
    path = shared_dir / "weights" / "tf_efficientnet_lite0.in1k-from-int8.safetensors"
    return _present(path, "the pretrained EfficientNet-Lite0")


def _present(path: Path, what: str) -> Path:
    """The path, or the test is skipped."""
    if not path.exists():
        pytest.skip(f"{what}: absent (shared/{path.parent.name}/{path.name})")
    return path


def pytest_sessionstart() -> None:
    """While the tests are imported nothing is garbage, and to look for it takes seconds."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was imported stays: a search for garbage need not look at its million objects."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts with the files that take longest, so that parallel workers end together."""
    for item in items:
        if item.path.is_relative_to(REPOSITORY / "tests" / "e2e"):
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: 0 if item.get_closest_marker("e2e") else 1 if item.get_closest_marker("slow") else 2)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not any(reason in str(report.longrepr) for reason in SKIP_REASONS):
        _unexpected_skips.append(f"{report.nodeid}: {report.longrepr}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    gc.unfreeze()  # or libraries report at exit that they leak
    if _unexpected_skips:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nskipped without an accepted reason:", *_unexpected_skips, sep="\n  ")
