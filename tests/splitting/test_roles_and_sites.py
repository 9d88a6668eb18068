"""Sources for one part only, and splits stratified by site."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import DataError, GateError, ParamsError
from dr_pipeline.params.curation import SplitParams
from dr_pipeline.schema import Role
from dr_pipeline.splitting.groups import Group, Photograph, group_photographs
from dr_pipeline.splitting.make_split import make_split, split_rows
from dr_pipeline.splitting.predefined import in_sites
from dr_pipeline.splitting.stratified import assign_groups

ALL, TRAIN, VALIDATION, TEST = Role.ALL, Role.TRAIN, Role.VALIDATION, Role.TEST


def options(**changes: object) -> SplitParams:
    values: dict[str, object] = {
        "salt": "s", "test": "share", "test_share": 0.2, "test_sites": (), "validation": "share", "num_folds": 3,
        "validation_share": 0.2, "on_group_conflict": "stop",
    }  # fmt: skip
    return SplitParams.model_validate(values | changes)


def site(name: str, count: int, role: Role = ALL, **more: str) -> list[Photograph]:
    return [
        Photograph(f"{name}__{number:03}", "", more.get("cluster", ""), number % 5, site=name, role=role)
        for number in range(count)
    ]


def parts(photographs: list[Photograph], params: SplitParams) -> Counter[tuple[str, str]]:
    rows = split_rows(make_split(group_photographs(photographs), params))
    return Counter((row.site, row.part) for row in rows)


def test_each_role_has_its_part_and_the_others_are_divided() -> None:
    photographs = [*site("a", 100), *site("b", 20, TEST), *site("c", 20, VALIDATION), *site("d", 20, TRAIN)]
    found = parts(photographs, options())
    assert found == {
        ("a", "test"): 20, ("a", "fold 0"): 20, ("a", "train"): 60,
        ("b", "test"): 20, ("c", "fold 0"): 20, ("d", "train"): 20,
    }  # fmt: skip
    split = make_split(group_photographs(photographs), options())
    assert not split.drawn
    assert split.shares == {"test": None, "0": None, "train": None}


def test_roles_alone_make_a_whole_split() -> None:
    found = parts([*site("a", 50, TRAIN), *site("b", 20, VALIDATION), *site("c", 10, TEST)], options())
    assert found == {("a", "train"): 50, ("b", "fold 0"): 20, ("c", "test"): 10}
    with pytest.raises(DataError, match="no photograph is for validation"):
        make_split(group_photographs([*site("a", 50, TRAIN), *site("c", 10, TEST)]), options())


def test_a_source_for_training_is_in_every_training_part_of_the_folds() -> None:
    found = parts([*site("a", 90), *site("d", 20, TRAIN), *site("b", 20, TEST)], options(validation="folds"))
    assert found["d", "train"] == 20
    assert found["b", "test"] == 20
    assert sum(count for (name, part), count in found.items() if name == "a" and part.startswith("fold")) == 72
    with pytest.raises(ParamsError, match="role validation"):
        parts([*site("a", 90), *site("c", 20, VALIDATION)], options(validation="folds"))


def test_a_copy_in_a_source_for_one_part_takes_the_other_along_and_two_roles_conflict() -> None:
    copies = [
        Photograph("a__copy", "", "k", 1, site="a"),
        Photograph("b__copy", "", "k", 1, site="b", role=TEST),
    ]
    photographs = [*site("a", 100), *site("b", 20, TEST), *copies]
    assert parts(photographs, options())["a", "test"] == 21
    conflict = [*photographs, Photograph("d__copy", "", "k", 1, site="d", role=TRAIN), *site("d", 10, TRAIN)]
    with pytest.raises(GateError, match=r"sources with different roles.*a__copy"):
        parts(conflict, options())
    split = make_split(group_photographs(conflict), options(on_group_conflict="leave_out"))
    assert [left.image_id for left in split.left_out] == ["d__copy"]


def test_a_site_is_held_out_with_its_parts_by_name() -> None:
    assert in_sites("lab/north", ["lab"])
    assert not in_sites("laboratory", ["lab"])
    photographs = [*site("lab/north", 30), *site("lab", 10), *site("sea", 60)]
    found = parts(photographs, options(test="sites", test_sites=("lab",)))
    assert {key: count for key, count in found.items() if key[1] == "test"} == {
        ("lab", "test"): 10, ("lab/north", "test"): 30,
    }  # fmt: skip
    with pytest.raises(ParamsError, match="there is no site 'see'; the closest one is 'sea'"):
        parts(photographs, options(test="sites", test_sites=("see",)))
    with pytest.raises(ParamsError, match="every site is held out"):
        parts(photographs, options(test="sites", test_sites=("lab", "sea")))


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    num_parts=st.integers(2, 5),
    salt=st.text(max_size=3),
)
def test_grades_are_exact_and_large_sites_have_their_share(counts: list[int], num_parts: int, salt: str) -> None:
    groups = group_photographs([one for number, count in enumerate(counts) for one in site(f"s{number}", count)])
    shares = {str(part): 1 / num_parts for part in range(num_parts)}
    assigned = assign_groups(groups, shares, salt)
    assert sorted(assigned) == sorted(group.key for group in groups)

    def per_part(some: list[Group]) -> list[int]:
        found = Counter(assigned[group.key] for group in some)
        return [found[part] for part in shares]

    for grade in range(5):
        of_grade = [group for group in groups if group.worst_grade == grade]
        assert max(per_part(of_grade)) - min(per_part(of_grade)) <= 1
        for name in {group.site for group in of_grade}:
            of_site = [group for group in of_grade if group.site == name]
            if len(of_site) >= num_parts:
                assert max(per_part(of_site)) - min(per_part(of_site)) <= 1
