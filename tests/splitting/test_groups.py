"""Photographs that must stay together do, whatever their order."""

import random

from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.splitting.groups import Photograph, bridges_of, group_photographs, photographs_of

PHOTOGRAPHS = st.lists(
    st.tuples(st.sampled_from(["", *"abcdefgh"]), st.sampled_from(["", "", "", *"uvwxyz"]), st.integers(0, 4)),
    min_size=1,
    max_size=40,
).map(lambda rows: [Photograph(f"i{n:02}", *row) for n, row in enumerate(rows)])


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
            if same_patient or same_cluster:
                assert where[one] == where[other]
    shuffled = photographs[:]
    rng.shuffle(shuffled)
    assert group_photographs(shuffled) == groups


def test_excluded_and_ungraded_take_no_part() -> None:
    row = {"image_id": "a", "patient_id": "p", "duplicate_cluster": "", "grade": "2", "excluded": "0"}
    row |= {"eye": "left", "visit": "", "site": "hill", "official_split": "train", "perceptual_hash": "00ff"}
    rows = [row, row | {"image_id": "b", "excluded": "1"}, row | {"image_id": "c", "grade": ""}]
    assert photographs_of(rows) == [Photograph("a", "p", "", 2, "left", "", "hill", "train", "00ff")]


def test_a_picture_that_takes_no_part_still_joins_its_patients() -> None:
    """Its copy was excluded, or has no grade; the two patients may be one person all the same."""
    row = dict.fromkeys(("eye", "visit", "site", "official_split", "perceptual_hash"), "")
    rows = [
        row | {"image_id": name, "patient_id": patient, "duplicate_cluster": cluster, "grade": grade, "excluded": out}
        for name, patient, cluster, grade, out in (
            ("a", "p", "a", "1", "0"),
            ("b", "q", "a", "1", "1"),
            ("c", "q", "", "1", "0"),
            ("d", "r", "a", "", "0"),
            ("e", "r", "", "2", "0"),
            ("f", "", "a", "", "0"),
            ("g", "s", "", "2", "0"),
        )
    ]
    groups = group_photographs(photographs_of(rows), bridges_of(rows))
    assert [[one.image_id for one in group.photographs] for group in groups] == [["a", "c", "e"], ["g"]]
