"""One adapter per public layout: `read(root, dataset)` gives the same Intake whatever the layout."""

from collections.abc import Callable
from pathlib import Path

from dr_pipeline.intake.adapters import aptos2019, folder, idrid, synthetic
from dr_pipeline.intake.records import Intake
from dr_pipeline.params.dataset import Dataset

ADAPTERS: dict[str, Callable[[Path, Dataset], Intake]] = {
    "synthetic": synthetic.read,
    "idrid": idrid.read,
    "aptos2019": aptos2019.read,
    "folder": folder.read,
}
