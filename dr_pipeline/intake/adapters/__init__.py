"""One adapter per public layout: `read(root, dataset)` gives the same Intake whatever the layout."""

from collections.abc import Callable
from pathlib import Path

from dr_pipeline.intake.adapters import (
    aptos2019,
    datalist,
    ddr,
    deepdrid,
    eyepacs,
    folder,
    idrid,
    messidor2_abramoff,
    messidor2_google,
    synthetic,
)
from dr_pipeline.intake.records import Intake
from dr_pipeline.params.data_source import Dataset

ADAPTERS: dict[str, Callable[[Path, Dataset], Intake]] = {
    "synthetic": synthetic.read,
    "idrid": idrid.read,
    "aptos2019": aptos2019.read,
    "eyepacs": eyepacs.read,
    "messidor2_google": messidor2_google.read,
    "messidor2_abramoff": messidor2_abramoff.read,
    "ddr": ddr.read,
    "deepdrid": deepdrid.read,
    "folder": folder.read,
    "datalist": datalist.read,
}
