"""Official divisions, sites held out, and one validation part of a share."""

import random
from collections import Counter

import pytest

from dr_pipeline.errors import DataError, GateError, ParamsError
from dr_pipeline.params.curation import SplitParams
from dr_pipeline.splitting.groups import Group, Photograph, group_photographs
from dr_pipeline.splitting.make_split import make_split

PARAMS = SplitParams(
    salt="s",
    test="share",
    test_share=0.2,
    test_sites=(),
    validation="folds",
    num_folds=4,
    validation_share=0.1,
    on_group_conflict="stop",
)


def options(**changes: object) -> SplitParams:
    return SplitParams.model_validate(PARAMS.model_dump() | changes)


def two_eyes(count: int) -> list[Photograph]:
    """Patients of three sites, divided by their authors: every fourth test, every fifth of the others validation."""
    return [
        Photograph(
            image_id=f"{patient:04}-{eye}",
            patient_id=f"P{patient}",
            duplicate_cluster="",
            grade=patient // 7 % 5,
            eye=eye,
            site=("hill", "lake", "sea")[patient % 3],
            official_split="test" if patient % 4 == 0 else "validation" if patient % 5 == 0 else "train",
        )
        for patient in range(count)
        for eye in ("left", "right")
    ]


def names(groups: tuple[Group, ...], parts: dict[str, str], part: str) -> set[str]:
    return {one.image_id for group in groups for one in group.photographs if parts[group.key] == part}


def test_one_validation_part_has_its_share_of_all() -> None:
    split = make_split(
        group_photographs(two_eyes(500)), options(validation="share", test_share=0.15, validation_share=0.05)
    )
    counts = Counter(split.parts.values())
    assert counts == {"test": 75, "0": 25, "train": 400}
    assert split.shares == pytest.approx({"test": 0.15, "0": 0.05, "train": 0.8})
    assert split.drawn


def test_official_parts_are_kept_to_the_letter() -> None:
    photographs = two_eyes(200)
    split = make_split(group_photographs(photographs), options(test="official", validation="official"))
    for part, official in (("test", "test"), ("0", "validation"), ("train", "train")):
        expected = {one.image_id for one in photographs if one.official_split == official}
        assert names(split.groups, dict(split.parts), part) == expected
    assert not split.left_out
    assert not split.drawn


@pytest.mark.parametrize("validation", ["folds", "share"])
def test_official_test_and_drawn_validation(validation: str) -> None:
    photographs = two_eyes(400)
    split = make_split(group_photographs(photographs), options(test="official", validation=validation))
    assert names(split.groups, dict(split.parts), "test") == {
        one.image_id for one in photographs if one.official_split == "test"
    }
    counts = Counter(split.parts.values())
    expected = {"0": 75, "1": 75, "2": 75, "3": 75} if validation == "folds" else {"0": 40, "train": 260}
    assert {part: count for part, count in counts.items() if part != "test"} == pytest.approx(expected, abs=1)
    assert split.shares["test"] is None
    assert sum(share for share in split.shares.values() if share) == pytest.approx(0.75)


def test_drawn_test_and_official_validation() -> None:
    photographs = [one for one in two_eyes(400) if one.official_split != "test"]
    split = make_split(group_photographs(photographs), options(validation="official"))
    counts = Counter(split.parts.values())
    assert counts["test"] == pytest.approx(60, abs=1)
    official = {one.image_id: one.official_split for one in photographs}
    assert {official[name] for name in names(split.groups, dict(split.parts), "0")} == {"validation"}
    assert {official[name] for name in names(split.groups, dict(split.parts), "train")} == {"train"}


def test_a_missing_official_part_is_named() -> None:
    photographs = two_eyes(40)
    photographs[3] = Photograph("0001-right", "P1", "", 2, site="lake")
    with pytest.raises(DataError, match=r"1 photograph\(s\) whose official part .*0001-right \(none\)"):
        make_split(group_photographs(photographs), options(test="official"))
    with pytest.raises(DataError, match=r"none of train, validation: 0000-left \(test\)"):
        make_split(group_photographs(two_eyes(4)), options(test="sites", test_sites=("sea",), validation="official"))


def test_sites_are_held_out_whole() -> None:
    photographs = two_eyes(300)
    split = make_split(group_photographs(photographs), options(test="sites", test_sites=("sea",)))
    assert names(split.groups, dict(split.parts), "test") == {one.image_id for one in photographs if one.site == "sea"}
    assert Counter(split.parts.values())["0"] == pytest.approx(50, abs=1)


def test_wrong_sites_are_refused_with_the_closest_name() -> None:
    groups = group_photographs(two_eyes(30))
    with pytest.raises(ParamsError, match="no site 'sae'; the closest one is 'sea'"):
        make_split(groups, options(test="sites", test_sites=("sae",)))
    with pytest.raises(ParamsError, match="no site is named"):
        make_split(groups, options(test="sites"))
    with pytest.raises(ParamsError, match="every site is held out"):
        make_split(
            groups,
            options(
                test="sites",
                test_sites=(
                    "sea",
                    "hill",
                    "lake",
                ),
            ),
        )
    nowhere = Photograph("x", "", "", 0)
    with pytest.raises(DataError, match=r"1 photograph\(s\) of unknown sites.*: x\n"):
        make_split(group_photographs([*two_eyes(30), nowhere]), options(test="sites", test_sites=("sea",)))


def test_a_group_on_both_sides_stops_or_keeps_only_its_test_photographs() -> None:
    photographs = [
        Photograph("a", "p", "", 1, official_split="test"),
        Photograph("b", "p", "", 3, official_split="train"),
        Photograph("c", "", "k", 0, official_split="test"),
        Photograph("d", "", "k", 0, official_split="validation"),
        Photograph("e", "q", "", 2, official_split="validation"),
        Photograph("f", "q", "", 2, official_split="train"),
        Photograph("g", "", "", 2, official_split="train"),
    ]
    groups = group_photographs(photographs)
    both = {"test": "official", "validation": "official"}
    with pytest.raises(
        GateError, match=r"2 group\(s\) .* both sides of the test part; the first photograph of each: a, c"
    ):
        make_split(groups, options(**both))
    with pytest.raises(GateError, match=r"1 group\(s\) .* both sides of the validation part; .*: e"):
        make_split(group_photographs(photographs[4:]), options(**both))
    split = make_split(groups, options(**both, on_group_conflict="leave_out"))
    assert {part: names(split.groups, dict(split.parts), part) for part in ("test", "0", "train")} == {
        "test": {"a", "c"},
        "0": {"e"},
        "train": {"g"},
    }
    assert [(left.image_id, left.reason.split()[-2]) for left in split.left_out] == [
        ("b", "test"),
        ("d", "test"),
        ("f", "validation"),
    ]


def test_shares_that_leave_no_training_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"leaves none for training: 0\.2 are not test"):
        make_split(group_photographs(two_eyes(50)), options(validation="share", test_share=0.8, validation_share=0.2))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"validation": "share"},
        {"test": "official", "validation": "official"},
        {"test": "official"},
        {"test": "sites", "test_sites": ("lake",), "validation": "share"},
    ],
)
def test_order_of_files_changes_nothing(changes: dict[str, object]) -> None:
    photographs = two_eyes(200)
    split = make_split(group_photographs(photographs), options(**changes))
    random.Random(5).shuffle(photographs)
    assert make_split(group_photographs(photographs), options(**changes)) == split
