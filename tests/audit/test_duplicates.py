"""Duplicates: equal pixels, verified near duplicates, and their clusters."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.audit.duplicates import hashes_to_compare, identical_groups, join_duplicates
from dr_pipeline.audit.near_duplicates import NearDuplicate
from dr_pipeline.components import components
from tests.factories.audit_tables import PLANTED, inputs_of

PAIR = NearDuplicate("a", "b", 3, 0.99, 0)


def test_photographs_with_equal_pixels_are_grouped() -> None:
    groups = (("b", "b2", "b3"), ("c1", "c2"), ("d1", "d2"), ("f", "f2"))
    assert identical_groups(inputs_of(*PLANTED)) == groups
    assert identical_groups(inputs_of(*reversed(PLANTED))) == groups


def test_files_that_gave_no_pixels_are_not_identical() -> None:
    assert not identical_groups(inputs_of(("a", "", "0", "", "failed"), ("b", "", "1", "", "failed")))


def test_only_photographs_that_can_be_copies_are_compared() -> None:
    shown = {"shard": "shard-0.tar", "perceptual_hash": "ab" * 32}
    more = {name: shown for name, *_ in PLANTED} | {
        "a": shown | {"perceptual_hash": "0" * 64},  # nothing lit
        "g": {"perceptual_hash": "ab" * 32},  # no canvas to verify it on
    }
    inputs = inputs_of(*PLANTED, more=more)
    compared = hashes_to_compare(inputs, identical_groups(inputs))
    assert list(compared) == ["b", "c1", "d1"]  # one of each identical group; not e (failed), f (no fundus)
    assert compared["b"] == "ab" * 32


def test_near_pairs_join_groups_of_identical_photographs() -> None:
    pairs = (NearDuplicate("b", "c1", 5, 0.98, 0), NearDuplicate("a", "x", 9, 0.97, 2))
    duplicates = join_duplicates((("b", "b2"), ("c1", "c2"), ("d", "d2")), pairs)
    assert [(cluster.name, cluster.image_ids) for cluster in duplicates.clusters] == [
        ("a", ("a", "x")),
        ("b", ("b", "b2", "c1", "c2")),
        ("d", ("d", "d2")),
    ]
    assert [cluster.near for cluster in duplicates.clusters] == [(pairs[1],), (pairs[0],), ()]
    names = duplicates.cluster_names()
    assert names["c2"] == "b"
    assert "y" not in names


def test_a_cluster_keeps_the_figures_of_its_pairs() -> None:
    far = replace(PAIR, distance=30, turn=5)
    assert join_duplicates((), [far]).clusters[0].near == (far,)


NAMES = st.integers(0, 30).map(str)


@given(st.lists(st.tuples(NAMES, NAMES), max_size=40))
def test_components_are_those_of_a_search_through_the_graph(links: list[tuple[str, str]]) -> None:
    neighbours: dict[str, set[str]] = {}
    for one, other in links:
        neighbours.setdefault(one, {one}).add(other)
        neighbours.setdefault(other, {other}).add(one)

    def reached(name: str) -> tuple[str, ...]:
        seen, waiting = set(), [name]
        while waiting:
            if (here := waiting.pop()) not in seen:
                seen.add(here)
                waiting += neighbours[here]
        return tuple(sorted(seen))

    assert components(links) == sorted({reached(name) for name in neighbours})
