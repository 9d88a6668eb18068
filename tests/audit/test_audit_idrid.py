"""intake → preprocess → audit on real photographs: the published set's identical pairs, and no others."""

import argparse
from pathlib import Path

import yaml

from dr_pipeline.files import read_json
from dr_pipeline.recipes.compose import recipe_text
from dr_pipeline.stages import audit, intake, preprocess
from dr_pipeline.tables.manifest import read_manifest

PAIRS = [("021", "391"), ("028", "327"), ("045", "333"), ("073", "375"), ("079", "279")]
# Hard negatives: neighbours of the pairs, from the same camera and the same session.
OTHERS = ("020", "022", "027", "044", "074", "280", "392")


def part_of_idrid(idrid_dir: Path, root: Path, numbers: set[str]) -> None:
    """The official layout with some of its photographs, linked, and its label file cut to them."""
    part = Path("B. Disease Grading")
    photographs = part / "1. Original Images" / "a. Training Set"
    labels = part / "2. Groundtruths" / "a. IDRiD_Disease Grading_Training Labels.csv"
    (root / photographs).mkdir(parents=True)
    (root / labels).parent.mkdir(parents=True)
    for number in numbers:
        name = f"IDRiD_{number}.jpg"
        (root / photographs / name).symlink_to((idrid_dir / photographs / name).resolve())
    header, *rows = (idrid_dir / labels).read_bytes().splitlines(keepends=True)
    kept = [row for row in rows if row.split(b",")[0].decode().removeprefix("IDRiD_") in numbers]
    (root / labels).write_bytes(header + b"".join(kept))


def test_the_five_identical_pairs_are_found_and_no_others(idrid_dir: Path, tmp_path: Path) -> None:
    root = tmp_path / "idrid"
    part_of_idrid(idrid_dir, root, {number for pair in PAIRS for number in pair} | set(OTHERS))
    params = yaml.safe_load(recipe_text("idrid"))
    params["dataset"]["follow_links"] = True
    params["preprocess"] = {"canvas_px": 128, "num_shards": 1, "arm": "none"}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    manifest, report = tmp_path / "manifest.csv", tmp_path / "intake.json"
    canvases = tmp_path / "canvases"

    intake.run(
        argparse.Namespace(
            params=path, root=root, manifest=manifest, readings=manifest.with_name("readings.csv"), report=report
        )
    )
    engine = {"engine": "in_process", "workers": 1, "ray_address": None}
    preprocess.run(argparse.Namespace(params=path, root=root, manifest=manifest, out=canvases, **engine))
    audit.run(
        argparse.Namespace(
            params=path,
            manifest=manifest,
            intake=report,
            canvases=canvases,
            out=tmp_path / "audited.csv",
            report=tmp_path / "audit.json",
            page=tmp_path / "audit.html",
        )
    )

    found = read_json(tmp_path / "audit.json")
    assert found["identical"] == [[f"IDRiD_{first}", f"IDRiD_{second}"] for first, second in PAIRS]
    assert found["counts"]["near_duplicates"] == 0
    assert found["largest_cluster"] == 2
    assert [finding["grades"] for finding in found["findings"] if finding["kind"] == "contradictions"] == [
        {"IDRiD_021": 1, "IDRiD_391": 2},
        {"IDRiD_028": 4, "IDRiD_327": 3},
    ]
    rows = read_manifest(tmp_path / "audited.csv")
    assert len(rows) == len(PAIRS) * 2 + len(OTHERS)
    assert [row.image_id for row in rows if row.excluded] == [
        "IDRiD_021", "IDRiD_028", "IDRiD_327", "IDRiD_391",
    ]  # fmt: skip
