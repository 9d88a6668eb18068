"""DDR: DR_grading with train, valid, test (not tried on the real download).

DDR (Nankai University), the part for grading. The root contains `DR_grading` with `train.txt`, `valid.txt` and
`test.txt`, whose lines are a file name and a class, and the photographs in folders of these names. Class 5 is
ungradable: no grade. The 13,673 photographs are of 9,598 patients, but which is whose is not published.

The layout is documented by its readers, such as lucasmsobrinho/dr-pytorch-training-pipelines
(data_loader/ddr_dataset.py, data_loader/dataset_paths.txt); https://github.com/nkicsl/DDR-dataset itself has only the
links to the download.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.intake.coded_values import CodedValues
from dr_pipeline.intake.join import concatenate, join_labels
from dr_pipeline.intake.label_table import LabelTable, LabelText, check_labels
from dr_pipeline.intake.photographs import list_photographs, rules_of
from dr_pipeline.intake.records import Intake, Provenance, shortlist
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.schema import Split

PROVENANCE = Provenance(
    name="DDR, grading",
    licence="as given with the download, https://github.com/nkicsl/DDR-dataset",
    citation=(
        "Li T. et al.: Diagnostic assessment of deep learning algorithms for diabetic retinopathy screening. "
        "Information Sciences 2019;501:511, doi:10.1016/j.ins.2019.06.011."
    ),
)
_PARTS = {"train": Split.TRAIN, "valid": Split.VALIDATION, "test": Split.TEST}
_VALUES = CodedValues(ungradable=("5",))
_CELLS = 2  # of a line: name and class


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads the three official parts.

    Raises:
        DataError: A table or folder is missing or wrong.
    """
    parts = []
    for name, split in _PARTS.items():
        table = root / "DR_grading" / f"{name}.txt"
        labels = _labels(table)
        listing = list_photographs(root, root / "DR_grading" / name, rules=rules_of(dataset))
        # Ids are assigned below, over all parts; until then a photograph's path is its id.
        part = join_labels(listing, labels, where=str(table), provenance=PROVENANCE, name_ids=_paths)
        parts.append(replace(part, records=tuple(replace(record, official_split=split) for record in part.records)))
    intake = concatenate(parts)
    ids = _ids([record.path for record in intake.records])
    return replace(intake, records=tuple(replace(record, image_id=ids[record.path]) for record in intake.records))


def _labels(table: Path) -> LabelTable:
    try:
        lines = [line.split() for line in table.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the label table cannot be read: {error}",
            where=printable(table),
            todo="check dataset.root: it contains the folder DR_grading",
        ) from None
    wrong = [" ".join(line) for line in lines if len(line) != _CELLS]
    if wrong or not lines:
        fault = f"lines that are not a name and a class: {shortlist(wrong)}" if lines else "the label table has no rows"
        raise DataError(fault, where=printable(table), todo="download the table again")
    rows = [LabelText(key=name, grade=grade) for name, grade in lines]
    return check_labels(rows, where=str(table), values=_VALUES)


def _paths(paths: Sequence[str]) -> Mapping[str, str]:
    return {path: path for path in paths}


def _ids(paths: Sequence[str]) -> dict[str, str]:
    """File names without suffix; where two parts use the same name, prefixed with the part (test_007-0004-000)."""
    stems = {path: PurePosixPath(path).stem for path in paths}
    uses = Counter(name.casefold() for name in stems.values())
    return {
        path: name if uses[name.casefold()] == 1 else f"{PurePosixPath(path).parts[1]}_{name}"
        for path, name in stems.items()
    }
