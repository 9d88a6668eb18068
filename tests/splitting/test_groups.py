"""Photographs that must stay together do, whatever their order."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.schema import Eye, Split
from dr_pipeline.splitting.groups import Photograph, bridges_of, group_photographs, photographs_of
from dr_pipeline.tables.manifest import ManifestRow

NAMES = st.sampled_from(["", "", "", *"uvwxyz"])
PHOTOGRAPHS = st.lists(
    st.tuples(st.sampled_from(["", *"abcdefgh"]), NAMES, st.integers(0, 4), NAMES), min_size=1, max_size=40
).map(
    lambda rows: [
        Photograph(f"i{n:02}", patient, cluster, grade, same_eye=eye)
        for n, (patient, cluster, grade, eye) in enumerate(rows)
    ]
)


def test_chain_of_patient_and_cluster_is_one_group() -> None:
    a, b, c = Photograph("1", "p", "", 0), Photograph("2", "p", "k", 3), Photograph("3", "q", "k", 1)
    d, e = Photograph("4", "q", "", 0), Photograph("5", "", "", 4)
    groups = group_photographs([e, d, c, b, a])
    assert [(group.key, group.worst_grade) for group in groups] == [("patient:p", 3), ("photograph:5", 4)]
    assert [photograph.image_id for photograph in groups[0].photographs] == ["1", "2", "3", "4"]


def test_unknown_patients_are_not_one_patient() -> None:
    assert len(group_photographs([Photograph("1", "", "", 0), Photograph("2", "", "", 0)])) == 2


def test_cluster_name_is_no_part_of_the_key() -> None:
    one = group_photographs([Photograph("1", "", "k", 0), Photograph("2", "", "k", 0)])
    other = group_photographs([Photograph("1", "", "m", 0), Photograph("2", "", "m", 0)])
    assert [group.key for group in one] == [group.key for group in other] == ["photograph:1"]


@given(PHOTOGRAPHS, st.randoms(use_true_random=False))
def test_groups_are_closed_complete_and_independent_of_order(photographs: list[Photograph], rng: random.Random) -> None:
    groups = group_photographs(photographs)
    where = {photograph: group.key for group in groups for photograph in group.photographs}
    assert sorted(where, key=lambda p: p.image_id) == photographs
    for one in photographs:
        for other in photographs:
            same_patient = one.patient_id != "" and one.patient_id == other.patient_id
            same_cluster = one.duplicate_cluster != "" and one.duplicate_cluster == other.duplicate_cluster
            same_eye = one.same_eye != "" and one.same_eye == other.same_eye
            if same_patient or same_cluster or same_eye:
                assert where[one] == where[other]
    shuffled = photographs[:]
    rng.shuffle(shuffled)
    assert group_photographs(shuffled) == groups


def test_photographs_of_one_eye_are_one_group_and_join_patients_and_clusters() -> None:
    a, b = Photograph("1", "", "", 0, same_eye="1"), Photograph("2", "p", "", 3, same_eye="1")
    c, d = Photograph("3", "p", "k", 1), Photograph("4", "", "k", 1)
    e, f = Photograph("5", "", "1", 1), Photograph("6", "", "", 1)  # a cluster of the eye's name is another thing
    groups = group_photographs([f, e, d, c, b, a])
    assert [[one.image_id for one in group.photographs] for group in groups] == [["1", "2", "3", "4"], ["5"], ["6"]]


def test_excluded_and_ungraded_take_no_part() -> None:
    row = ManifestRow(
        image_id="a",
        path="a.png",
        patient_id="p",
        grade=2,
        eye=Eye.LEFT,
        site="hill",
        official_split=Split.TRAIN,
        perceptual_hash="00ff",
        same_eye="x",
    )
    rows = [row, replace(row, image_id="b", excluded=True), replace(row, image_id="c", grade=None)]
    assert photographs_of(rows) == [Photograph("a", "p", "", 2, Eye.LEFT, "", "hill", Split.TRAIN, "00ff", "x")]


def test_a_picture_that_takes_no_part_still_joins_its_patients() -> None:
    """Its copy was excluded, or has no grade; the two patients may be one person all the same."""
    rows = [
        ManifestRow(
            image_id=name, path=name, patient_id=patient, duplicate_cluster=cluster, grade=grade, excluded=excluded
        )
        for name, patient, cluster, grade, excluded in (
            ("a", "p", "a", 1, False),
            ("b", "q", "a", 1, True),
            ("c", "q", "", 1, False),
            ("d", "r", "a", None, False),
            ("e", "r", "", 2, False),
            ("f", "", "a", None, False),
            ("g", "s", "", 2, False),
        )
    ]
    check_bridges(rows)
    check_bridges([replace(row, same_eye=row.duplicate_cluster, duplicate_cluster="") for row in rows])


def check_bridges(rows: list[ManifestRow]) -> None:
    groups = group_photographs(photographs_of(rows), bridges_of(rows))
    assert [[one.image_id for one in group.photographs] for group in groups] == [["a", "c", "e"], ["g"]]
