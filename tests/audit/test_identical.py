"""What counts as one picture: equal pixels, proved near duplicates, and what they join."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.audit.identical import hashes_to_compare, identical_groups, same_pictures
from dr_pipeline.audit.near_duplicates import NearDuplicate
from dr_pipeline.components import components
from tests.factories.audit_tables import PLANTED, evidence_of

PAIR = NearDuplicate("a", "b", 3, 0.99, 0)


def test_photographs_with_equal_pixels_are_grouped() -> None:
    groups = (("b", "b2", "b3"), ("c1", "c2"), ("d1", "d2"), ("f", "f2"))
    assert identical_groups(evidence_of(*PLANTED)) == groups
    assert identical_groups(evidence_of(*reversed(PLANTED))) == groups


def test_files_that_gave_no_pixels_are_not_identical() -> None:
    assert not identical_groups(evidence_of(("a", "", "0", "", "failed"), ("b", "", "1", "", "failed")))


def test_only_what_can_be_a_copy_is_compared() -> None:
    shown = {"shard": "shard-0.tar", "perceptual_hash": "ab" * 32}
    more = {name: shown for name, *_ in PLANTED} | {
        "a": shown | {"perceptual_hash": "0" * 64},  # nothing lit
        "g": {"perceptual_hash": "ab" * 32},  # no canvas to prove it on
    }
    evidence = evidence_of(*PLANTED, more=more)
    compared = hashes_to_compare(evidence, identical_groups(evidence))
    assert list(compared) == ["b", "c1", "d1"]  # one of each identical group; not e (failed), f (no fundus)
    assert compared["b"] == "ab" * 32


def test_near_pairs_join_groups_of_identical_photographs() -> None:
    pairs = (NearDuplicate("b", "c1", 5, 0.98, 0), NearDuplicate("a", "x", 9, 0.97, 2))
    pictures = same_pictures((("b", "b2"), ("c1", "c2"), ("d", "d2")), pairs)
    assert [(cluster.name, cluster.image_ids) for cluster in pictures.clusters] == [
        ("a", ("a", "x")),
        ("b", ("b", "b2", "c1", "c2")),
        ("d", ("d", "d2")),
    ]
    assert [cluster.near for cluster in pictures.clusters] == [(pairs[1],), (pairs[0],), ()]
    names = pictures.cluster_names()
    assert names["c2"] == "b"
    assert "y" not in names


def test_a_pair_keeps_how_alike_it_is() -> None:
    far = replace(PAIR, distance=30, turn=5)
    assert same_pictures((), [far]).clusters[0].near == (far,)


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
