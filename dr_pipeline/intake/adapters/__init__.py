"""Adapters: one file per layout of a data set, with `read(root, dataset) -> Intake`.

To add one to this package: a file here, whose docstring's first line `dr-pipeline intake --help` prints, and its line
in `dr_pipeline/adapter_registry.py`. To add one without a fork: a file in a package of your own and, in that package's
pyproject.toml, `[project.entry-points."dr_pipeline.adapters"]` with `my_clinic = "my_package.my_clinic:read"`. Install
it beside dr-pipeline and set `dataset.adapter: my_clinic`. `read_table_layout` and the other functions of
`dr_pipeline.intake.join` do most of the work.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

from dr_pipeline.adapter_registry import GROUP, Registration, find
from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.intake.records import Intake
from dr_pipeline.params.data_source import Dataset

Read = Callable[[Path, Dataset], Intake]


def read_dataset(root: Path, dataset: Dataset) -> Intake:
    """Reads a data set with the adapter `dataset.adapter`.

    Raises:
        DataError: The data set differs from its layout.
        ParamsError: The adapter's parameters are wrong.
        EnvironmentProblem: The adapter of another distribution cannot be imported or returns something else.
    """
    registration = find(dataset.adapter)
    intake = _load(registration)(root, dataset)
    if not isinstance(intake, Intake):
        raise EnvironmentProblem(
            f"the adapter {registration.name!r} returned {type(intake).__name__}, not an Intake",
            where=f"{registration.reference} of {registration.owner}",
            todo="update or correct that distribution",
        )
    return intake


def _load(registration: Registration) -> Read:
    entry_point = EntryPoint(registration.name, registration.reference, GROUP)
    try:
        read: Read = entry_point.load()
    except Exception as error:  # whatever another distribution's module raises
        if not registration.distribution:
            raise
        raise EnvironmentProblem(
            f"the adapter {registration.name!r} cannot be imported: {type(error).__name__}: {error}",
            where=f"{registration.reference} of the distribution {registration.owner}",
            todo="update or reinstall that distribution, or uninstall it and choose another adapter",
        ) from error
    return read
