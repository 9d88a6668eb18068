"""A grading set beside outlined photographs: canvases whose colour follows the grade, in two folds and a test part."""

from pathlib import Path

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.files import write_json
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from dr_pipeline.tables.splits import read_splits
from dr_pipeline.training.lesions.graded import Grades, read_same_eye
from tests.factories.trained_folds import SINGLE, write_data

# p0, in fold 0 of the lesions, shows an eye of a patient in fold 1 of the grades; p1 and p3, in fold 1 of the lesions,
# show eyes of two patients in fold 0 of the grades. Photographs of one patient stay together.
SAME_EYE = {"p0": "001-left", "p1": "000-left", "p3": "003-right"}


def write_grading_set(root: Path) -> Grades:
    """60 photographs of 30 patients; 20 are in each of fold 0, fold 1 and the test part."""
    root.mkdir()
    write_data(root, folds=(0,), combined=SINGLE)
    splits = read_splits(root / "splits.csv")
    audited = [ManifestRow(image_id=row.image_id, path=row.image_id, patient_id=row.patient_id) for row in splits]
    write_manifest(root / "audited.csv", audited)
    matches = [{"image_id": one, "grading_id": other, "how": "identical"} for one, other in SAME_EYE.items()]
    write_json(root / "matches.json", {"lesion_canvases": {"own": {"in_grading_set": matches}}})
    return Grades(CanvasStore(root / "canvases"), audited, splits, 0, read_same_eye(root / "matches.json", "own"))
