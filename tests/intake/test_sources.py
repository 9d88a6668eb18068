"""Several data sets become one manifest in which nothing collides and nothing is lost."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError, DrPipelineError, ParamsError
from dr_pipeline.files import read_json
from dr_pipeline.intake.photographs import MAX_ID_CHARACTERS, prefixed_id
from dr_pipeline.intake.run_intake import IntakeResult, run_intake
from dr_pipeline.intake.source_files import source_digests
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.params.section import validate
from dr_pipeline.stages import intake, sources
from dr_pipeline.tables.manifest import ManifestRow, read_manifest
from tests.factories import REPOSITORY
from tests.factories.layouts import aptos, dataset, eyepacs, photograph, photographs, table

PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))


def several(*sources: Mapping[str, Any], **changes: Any) -> Dataset:
    value = {**PARAMS["dataset"], "sources": [dict(source) for source in sources], **changes}
    return validate(value, Dataset, where="params.yaml, dataset")


def read(root: Path, *sources: Mapping[str, Any]) -> IntakeResult:
    return run_intake(root, several(*sources))


def rows_of(result: IntakeResult) -> dict[str, ManifestRow]:
    return {row.image_id: row for row in result.manifest}


@pytest.fixture
def two(tmp_path: Path) -> list[dict[str, str]]:
    """Two sets that both have a photograph and a patient 1_left."""
    eyepacs(tmp_path / "one", train=["1_left,0", "2_right,4"])
    eyepacs(tmp_path / "two", train=["1_left,3"])
    return [
        {"site": site, "adapter": "eyepacs", "root": str(tmp_path / folder)}
        for site, folder in (("hill", "one"), ("sea", "two"))
    ]


def test_one_id_and_one_patient_in_two_sources_are_two_photographs_of_two_people(
    tmp_path: Path, two: list[dict[str, str]]
) -> None:
    result = read(tmp_path, *two)
    rows = rows_of(result)
    assert list(rows) == ["hill__1_left", "hill__2_right", "sea__1_left"]
    assert [row.patient_id for row in rows.values()] == ["hill__1", "hill__2", "sea__1"]
    assert [(row.site, row.source, row.role, row.grade) for row in rows.values()] == [
        ("hill", "hill", "all", 0), ("hill", "hill", "all", 4), ("sea", "sea", "all", 3),
    ]  # fmt: skip
    assert all((tmp_path / row.path).is_file() and row.sha256 for row in rows.values())
    assert rows["sea__1_left"].path == "two/train/1_left.jpeg"
    assert [(one["source"], one["photographs"]) for one in result.report["sources"]] == [("hill", 2), ("sea", 1)]
    assert result.report["grades"] == {"0": 1, "1": 0, "2": 0, "3": 1, "4": 1}
    assert "sea: 1 photographs, 0 / 0 / 0 / 1 / 0 (all)" in result.headline


def test_a_source_outside_the_root_has_absolute_paths_and_its_own_sites_are_parts_of_it(tmp_path: Path) -> None:
    table(tmp_path / "far" / "labels.csv", "image,grade,site", ["a.jpg,1,north", "b.jpg,2,"])
    photographs(tmp_path / "far", ["a.jpg", "b.jpg"])
    aptos(tmp_path / "root" / "near", ["c,0", "gone,1"], ["c.png", "new.png"])
    columns = {"patient": "", "eye": "", "site": "site"}
    result = read(
        tmp_path / "root",
        {"site": "far", "adapter": "folder", "root": str(tmp_path / "far"),
         "folder": {"labels": "labels.csv", "columns": columns}},
        {"site": "near", "adapter": "aptos2019", "root": str(tmp_path / "root" / "near")},
    )  # fmt: skip
    rows = rows_of(result)
    assert rows["far__a"].path == (tmp_path / "far" / "a.jpg").as_posix()
    assert rows["near__c"].path == "near/train_images/c.png"
    assert [row.site for row in rows.values()] == ["far/north", "far", "near"]
    assert result.report["orphans"] == {"rows": ["near: gone"], "files": ["near: train_images/new.png"]}
    outside = [warning for warning in result.report["warnings"] if "lies outside dataset.root" in warning]
    assert [warning.partition(":")[0] for warning in outside] == ["far"]
    assert any("near: has the grades 0 only" in warning for warning in result.report["warnings"])


def test_unlabelled_sources_have_rows_without_grade_with_or_without_an_adapter(
    tmp_path: Path, two: list[dict[str, str]]
) -> None:
    photographs(tmp_path / "plain", ["x/1.jpg", "2.jpg"])
    plain = {"site": "plain", "root": str(tmp_path / "plain"), "role": "unlabelled"}
    result = read(tmp_path, two[0], two[1] | {"role": "unlabelled"}, plain)
    rows = [row for row in result.manifest if row.role == "unlabelled"]
    assert [(row.source, row.grade, row.patient_id) for row in rows] == [
        ("plain", None, ""), ("plain", None, ""), ("sea", None, "sea__1"),
    ]  # fmt: skip
    assert result.report["ungraded"] == 3


def test_two_sources_of_one_site_have_names(tmp_path: Path, two: list[dict[str, str]]) -> None:
    result = read(tmp_path, two[0], two[1] | {"site": "hill", "name": "hill-2", "role": "test"})
    assert {row.source: (row.site, str(row.role)) for row in result.manifest} == {
        "hill": ("hill", "all"), "hill-2": ("hill", "test"),
    }  # fmt: skip


WORDS = st.text("ab", min_size=1, max_size=3)


@given(
    st.sets(st.tuples(st.lists(WORDS, min_size=1, max_size=3).map("_".join), st.text("ab_", min_size=1)), max_size=9)
)
def test_ids_of_two_sources_are_never_equal(pairs: set[tuple[str, str]]) -> None:
    assert len({prefixed_id(prefix, image_id) for prefix, image_id in pairs}) == len(pairs)


def test_a_long_id_ends_in_a_hash() -> None:
    ids = {prefixed_id("a" * 40, f"{number}".rjust(MAX_ID_CHARACTERS, "x")) for number in range(50)}
    assert len(ids) == 50
    assert {len(image_id) for image_id in ids} == {MAX_ID_CHARACTERS}


SOURCE = {"site": "hill", "adapter": "idrid", "root": "data/hill"}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([{"adapter": "idrid", "root": "x"}], r"'sources\.0\.site' is missing"),
        ([SOURCE | {"site": ""}], r"sources\.0\.site"),
        ([SOURCE | {"role": "tset"}], r"sources\.0\.role: .*'validation'.*found 'tset'"),
        ([SOURCE | {"adapter": "idird"}], r"sources\.0\.adapter: input should be one of"),
        ([{"site": "hill", "root": "x"}], r"sources\.0\.adapter: is missing; only a source with `role: unlabelled`"),
        ([SOURCE | {"role": "unlabelled"}], "sources: all are unlabelled"),
        ([SOURCE, SOURCE | {"root": "other"}], "two sources are called hill"),
        ([SOURCE, SOURCE | {"site": "HILL", "root": "other"}], "two sources are called hill"),
        ([SOURCE | {"site": "Hôpital d'Amiens"}], "give the source a name"),
        ([SOURCE | {"site": "a__b"}], "give the source a name"),
        ([SOURCE | {"adapter": "datalist"}], r"sources\.0\.datalist"),
        ([SOURCE | {"folder": {"lables": "x.csv"}}], r"sources\.0\.folder\.lables' \(did you mean 'labels'"),
        ([SOURCE | {"values": {}}], r"unknown key 'sources\.0\.values'"),
    ],
)  # fmt: skip
def test_a_wrong_source_is_an_error_that_names_its_key(sources: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        several(*sources)


def test_params_without_sources_are_as_before(tmp_path: Path) -> None:
    old = {key: value for key, value in PARAMS["dataset"].items() if key != "sources"}
    assert validate(old, Dataset, where="old") == validate(PARAMS["dataset"], Dataset, where="new")
    aptos(tmp_path, ["a,0"], ["a.png"])
    (row,) = run_intake(tmp_path, dataset("aptos2019")).manifest
    assert (row.image_id, row.source, row.role, row.site) == ("a", "aptos2019", "all", "")


@pytest.mark.parametrize("spelling", ["link", "slash", "dots"])
def test_the_same_root_twice_is_refused_however_it_is_spelt(
    tmp_path: Path, two: list[dict[str, str]], spelling: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "one")
    again = {"link": tmp_path / "link", "slash": f"{tmp_path}/one/", "dots": f"{tmp_path}/two/../one"}[spelling]
    with pytest.raises(ParamsError, match="'hill' and 'sea' have the same root"):
        read(tmp_path, two[0], two[1] | {"root": str(again)})


def test_a_root_within_another_is_refused_where_both_list_a_file(tmp_path: Path) -> None:
    for grade in range(2):
        photograph(tmp_path / "all" / "part" / str(grade) / "a.jpg")
    folders = {"adapter": "folder", "folder": {"labels": "", "columns": {"patient": "", "eye": ""}}}
    outer = {"site": "outer", "root": str(tmp_path / "all"), **folders}
    inner = {"site": "inner", "root": str(tmp_path / "all" / "part"), **folders}
    with pytest.raises(DataError, match="files that two sources list"):
        read(tmp_path, outer, inner)


def test_a_missing_folder_is_named(tmp_path: Path, two: list[dict[str, str]]) -> None:
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    for root in ("gone", "lost"):
        with pytest.raises(DataError, match="folder of the source 'sea' is missing"):
            read(tmp_path, two[0], two[1] | {"root": str(tmp_path / root)})


def test_another_scale_is_refused_and_a_map_reads_it(tmp_path: Path, two: list[dict[str, str]]) -> None:
    table(tmp_path / "clinic" / "labels.csv", "image,grade", ["a.jpg,1", "b.jpg,5"])
    photographs(tmp_path / "clinic", ["a.jpg", "b.jpg"])
    clinic = {"site": "clinic", "adapter": "folder", "root": str(tmp_path / "clinic")}
    layout: dict[str, Any] = {"labels": "labels.csv", "columns": {"patient": "", "eye": ""}}
    with pytest.raises(DataError) as caught:
        read(tmp_path, *two, clinic | {"folder": layout})
    assert "source 'clinic': " in str(caught.value)
    assert "dataset.sources, clinic: folder.values" in str(caught.value)
    layout["values"] = {"grade": {str(grade + 1): grade for grade in range(5)}}
    rows = rows_of(read(tmp_path, *two, clinic | {"folder": layout}))
    assert (rows["clinic__a"].grade, rows["clinic__b"].grade) == (0, 4)


def test_a_source_without_a_grade_must_say_so(tmp_path: Path, two: list[dict[str, str]]) -> None:
    table(tmp_path / "clinic" / "labels.csv", "image,grade", ["a.jpg,"])
    photographs(tmp_path / "clinic", ["a.jpg"])
    source = {"site": "clinic", "adapter": "folder", "root": str(tmp_path / "clinic"),
              "folder": {"labels": "labels.csv", "columns": {"patient": "", "eye": ""}}}  # fmt: skip
    with pytest.raises(DrPipelineError, match=r"(?s)source 'clinic': no photograph has a grade.*role: unlabelled"):
        read(tmp_path, *two, source)
    assert rows_of(read(tmp_path, *two, source | {"role": "unlabelled"}))["clinic__a"].grade is None


def test_the_stages_write_the_manifest_and_a_digest_that_follows_the_files(
    tmp_path: Path, two: list[dict[str, str]]
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(PARAMS | {"dataset": PARAMS["dataset"] | {"sources": two}}))
    out = {name: tmp_path / f"{name}.csv" for name in ("manifest", "readings", "report")}
    intake.run(argparse.Namespace(params=params, root=tmp_path, **out))
    assert len(read_manifest(out["manifest"])) == 3
    digests = tmp_path / "sources.json"
    sources.run(argparse.Namespace(params=params, out=digests))
    first = read_json(digests)
    assert [(one["source"], one["files"]) for one in first["sources"]] == [("hill", 3), ("sea", 2)]
    photograph(tmp_path / "two" / "train" / "new.jpeg")
    second = source_digests(params)
    assert second["sources"][0] == first["sources"][0]
    assert second["sources"][1]["sha256"] != first["sources"][1]["sha256"]
    params.write_text(
        yaml.safe_dump(PARAMS | {"dataset": PARAMS["dataset"] | {"sources": [two[0] | {"root": "gone"}]}})
    )
    with pytest.raises(DataError, match="folder of a source is missing"):
        source_digests(params)
    assert source_digests(REPOSITORY / "params.yaml")["sources"] == []
