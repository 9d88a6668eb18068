"""GDRBench: eight public sets with its split files, one site each (not tried on the real download).

The root contains `images/<SET>/<class>/<photograph>` and `splits/<SET>_train.txt`, `splits/<SET>_crossval.txt`, whose
lines are a path below `images` and a grade 0 … 4. The sets are APTOS, DEEPDR, FGADR, IDRID, MESSIDOR, RLDR, DDR and
EYEPACS, in capitals or as the README writes them; those that are not there are named in the report. Each set is a site.
The masks are not read: the pixel path finds the disc by itself. Patients are known in DEEPDR, and in EYEPACS and RLDR,
which is a part of it: their photographs of one person have one patient id, since the benchmark removes from EYEPACS the
photographs of RLDR, and not the other eyes.

The layout is documented in the repository chehx/DGDR (Che et al.: Towards Generalizable Diabetic Retinopathy Grading in
Unseen Domains. MICCAI 2023, arXiv:2307.04378), GDRBench/README.md, GDRBench/splits and dataset/GDRBench.py at commit
74fe127.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.intake.join import concatenate, join_labels
from dr_pipeline.intake.label_table import LabelText, check_labels
from dr_pipeline.intake.photographs import ids_from_paths, list_photographs, natural_key, rules_of
from dr_pipeline.intake.records import Intake, Provenance, Record, shortlist
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.schema import Eye, Split

PROVENANCE = Provenance(
    name="GDRBench",
    licence="each set's own; FGADR and MESSIDOR-2 may not be passed on",
    citation=(
        "Che H. et al.: Towards Generalizable Diabetic Retinopathy Grading in Unseen Domains. MICCAI 2023, "
        "arXiv:2307.04378; and the citations of its eight sets."
    ),
)
SETS = ("APTOS", "DEEPDR", "FGADR", "IDRID", "MESSIDOR", "RLDR", "DDR", "EYEPACS")
_PARTS = {"train": Split.TRAIN, "crossval": Split.VALIDATION}
# File names with a patient: 347_l1 (DEEPDR), 7384_right (EYEPACS, RLDR); the ids of the latter two are of one register.
_NAMES = {
    "DEEPDR": ("deepdr", re.compile(r"(?P<patient>\d+)_(?P<eye>[lr])(?P<field>\d+)")),
    "EYEPACS": ("eyepacs", re.compile(r"(?P<patient>\d+)_(?P<eye>left|right)")),
    "RLDR": ("eyepacs", re.compile(r"(?P<patient>\d+)_(?P<eye>left|right)")),
}
_EYES = {"l": Eye.LEFT, "r": Eye.RIGHT}


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads the sets that are there.

    Raises:
        DataError: There is no set with split files, a table or folder is missing or wrong, or a set that is not one of
            the eight.
    """
    tables = _tables(root / "splits")
    intakes = [_set(root, name, parts, dataset) for name, parts in tables.items()]
    absent = [name for name in SETS if name not in tables]
    both = concatenate(intakes)
    warnings = (f"sets of GDRBench that are not there: {shortlist(absent)}",) if absent else ()
    return replace(both, warnings=(*both.warnings, *warnings))


def _tables(folder: Path) -> dict[str, dict[str, Path]]:
    """The split files of each set, by its name in capitals and their part."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.txt")):
        name, _, part = path.stem.rpartition("_")
        if part in _PARTS and name.upper() in SETS:
            found.setdefault(name.upper(), {})[part] = path
    where = printable(folder)
    if not found:
        raise DataError(
            "there are no split files such as APTOS_train.txt",
            where=where,
            todo="copy GDRBench/splits of the repository chehx/DGDR beside the folder images",
        )
    if halves := [f"{name}_{part}.txt" for name, parts in found.items() for part in _PARTS if part not in parts]:
        raise DataError(f"split files that are missing: {shortlist(halves)}", where=where, todo="copy both of each set")
    return {name: found[name] for name in SETS if name in found}


def _set(root: Path, name: str, tables: dict[str, Path], dataset: Dataset) -> Intake:
    rows = [row for part, table in tables.items() for row in _rows(table, name, _PARTS[part])]
    where = printable(root / "splits" / f"{name}_*.txt")
    listing = list_photographs(root, _folder(root / "images", name), rules=rules_of(dataset))
    labels = check_labels(rows, where=where)
    intake = join_labels(listing, labels, where=where, provenance=PROVENANCE, name_ids=_ids)
    return replace(intake, records=tuple(_with_patient(record, name) for record in intake.records))


def _folder(images: Path, name: str) -> Path:
    folders = sorted(images.iterdir()) if images.is_dir() else []
    matches = [folder for folder in folders if folder.name.upper() == name and folder.is_dir()]
    if len(matches) != 1:
        raise DataError(
            f"found {len(matches)} folders of the set {name}, whose split files are there",
            where=printable(images),
            todo=f"put its photographs into images/{name}, or remove its split files",
        )
    return matches[0]


def _rows(table: Path, name: str, part: Split) -> Iterable[LabelText]:
    try:
        lines = [line.strip() for line in table.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the split file cannot be read: {error}", where=printable(table)) from None
    cells = [line.rsplit(maxsplit=1) for line in lines]
    wrong = [line for line, pair in zip(lines, cells, strict=True) if len(pair) != 2 or not _is_of(pair[0], name)]
    if wrong or not lines:
        fault = (
            f"lines that are not a path {name}/… and a grade: {shortlist(wrong)}" if lines else "the file has no lines"
        )
        raise DataError(fault, where=printable(table), todo="copy the file from the repository chehx/DGDR again")
    return [LabelText(key=f"images/{path}", grade=grade, site=name, official_split=part) for path, grade in cells]


def _is_of(path: str, name: str) -> bool:
    return [part.upper() for part in PurePosixPath(path).parts[:1]] == [name]


def _ids(paths: Sequence[str]) -> dict[str, str]:
    """From the paths: IDRID has one file name in both parts, in folders of different classes."""
    below = {path: path.partition("/")[2] for path in sorted(paths, key=natural_key)}
    ids = ids_from_paths(list(below.values()))
    return {path: ids[name] for path, name in below.items()}


def _with_patient(record: Record, name: str) -> Record:
    if name not in _NAMES:
        return record
    register, pattern = _NAMES[name]
    match = pattern.fullmatch(PurePosixPath(record.path).stem)
    if match is None:
        return record
    fields = match.groupdict()
    return replace(
        record,
        patient_id=f"{register}_{fields['patient']}",
        eye=_EYES[fields["eye"][0]],
        field=fields.get("field") or "",
    )
