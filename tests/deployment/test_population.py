"""The population of a bundle: counts of the development part, never of the test part."""

from pathlib import Path

from dr_pipeline.deployment.population import development_population
from dr_pipeline.deployment.training_reference import DevelopmentData
from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.canvas_index import CanvasRow, write_canvas_index
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from dr_pipeline.tables.splits import SplitRow, write_splits


def test_counts_are_of_training_and_validation_alone(tmp_path: Path) -> None:
    rows = [
        SplitRow(
            image_id=f"x{number}",
            patient_id="" if number == 3 else f"p{number // 2}",
            eye=Eye.LEFT,
            site="hill" if number < 3 else "",
            group=f"g{number}",
            grade=number % 5,
            split="test" if number > 4 else "development",
            fold=None if number > 4 else number % 2,
        )
        for number in range(8)
    ]
    canvases = [
        CanvasRow(
            image_id=row.image_id,
            status=Status.SCORED,
            format="jpeg",
            camera="" if row.image_id in ("x0", "x3") else "A",
        )
        for row in rows
    ]
    write_splits(tmp_path / "splits.csv", rows)
    write_canvas_index(tmp_path / "index.csv", canvases)
    manifest = [
        ManifestRow(image_id=row.image_id, path="x", sha256="0", grade=row.grade, camera="B", source="s")
        for row in rows[:2]
    ]
    write_manifest(tmp_path / "audited.csv", manifest)
    absent = tmp_path / "no"
    data = DevelopmentData(tmp_path / "index.csv", tmp_path / "splits.csv", absent, absent, tmp_path / "audited.csv")
    provenance = {"provenance": {"name": "a set", "licence": "", "url": "left out"}}
    assert development_population(data, provenance) == {
        "data_set": {"name": "a set"},
        "photographs": 5,
        "patients": 3,
        "photographs_of_unknown_patients": 1,
        "by_grade": {"0": 1, "1": 1, "2": 1, "3": 1, "4": 1},
        "sites": {"": 2, "hill": 3},
        "cameras": {"": 1, "A": 3, "B": 1},
        "formats": {"jpeg": 5},
    }
    assert development_population(data, {})["data_set"] == {}
