"""The figures of a finished training, and the remaining time of an unfinished one."""

import pytest

from dr_pipeline.tables.history import EpochRow
from dr_pipeline.training.loop import FitResult
from dr_pipeline.training.run_summary import minutes_left, training_figures
from dr_pipeline.training.trainer import TrainedNetwork
from tests.factories.training import CANDIDATE, Small, section


def network(*rates: float) -> TrainedNetwork:
    history = tuple(
        EpochRow(
            epoch=epoch,
            seconds=60.0,
            train_loss=1.0,
            validation_loss=1.0,
            validation_qwk=0.5,
            learning_rate=0.1,
            images_per_s=rate,
        )
        for epoch, rate in enumerate(rates)
    )
    return TrainedNetwork(Small(), FitResult({}, history[-1], history), "none", 1, "CPU", ())


def test_the_rate_is_the_median_over_all_epochs() -> None:
    figures = training_figures(CANDIDATE, [network(2.0, 30.0), network(31.0, 400.0)], [20, 21])
    assert figures["images_per_s"] == 30.5


@pytest.mark.parametrize(
    ("seeds", "number", "epochs", "minutes"), [(1, 0, 3, 1), (3, 0, 1, 11), (3, 1, 4, 4), (3, 2, 4, 0)]
)
def test_the_minutes_left_cover_all_networks(seeds: int, number: int, epochs: int, minutes: int) -> None:
    """Networks of 4 epochs of a minute each."""
    history = network(*[1.0] * epochs).fit.history
    assert minutes_left(history, section(CANDIDATE, "ensemble", seeds=seeds), number, seeds) == minutes
