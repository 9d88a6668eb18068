"""The epoch that is chosen: the last one that the highest is not clearly above."""

from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.tables.history import EpochRow, chosen_epoch


def rows(*figures: tuple[float, float]) -> list[EpochRow]:
    return [
        EpochRow(
            epoch=epoch,
            seconds=1.0,
            train_loss=1.0,
            validation_loss=1.0,
            validation_qwk=qwk,
            validation_qwk_error=error,
            learning_rate=0.1,
            images_per_s=1.0,
        )
        for epoch, (qwk, error) in enumerate(figures)
    ]


def test_the_last_epoch_within_a_standard_error_of_the_highest() -> None:
    assert chosen_epoch(rows((0.70, 0.03), (0.80, 0.03), (0.76, 0.03), (0.78, 0.09), (0.75, 0.03))).epoch == 3
    assert (
        chosen_epoch(rows((0.7, 0.0), (0.8, 0.0), (0.8, 0.0), (0.79, 0.0))).epoch == 2
    )  # without an error: the highest
    assert chosen_epoch(rows((0.0, 0.0))).epoch == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.2)), min_size=1, max_size=12))
def test_a_training_can_choose_while_it_runs(figures: list[tuple[float, float]]) -> None:
    history = rows(*figures)
    kept = None
    for finished in range(1, len(history) + 1):
        if chosen_epoch(history[:finished]) is history[finished - 1]:
            kept = history[finished - 1]
    assert kept is chosen_epoch(history)
