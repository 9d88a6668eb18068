"""Rebuilds the MLflow view from DVC's files: for a new clone after `dvc pull`, or a lost store."""

from collections.abc import Callable, Mapping

from dr_pipeline.errors import DataError
from dr_pipeline.tracking.facts import item_facts, pipeline_facts
from dr_pipeline.tracking.layout import CANDIDATE_STAGES, PIPELINE_STAGES, Item, Layout
from dr_pipeline.tracking.registry import register_in, show_external, show_test
from dr_pipeline.tracking.session import item_session, pipeline_session
from dr_pipeline.tracking.store import Store


def rebuild(store: Store, layout: Layout, draw: Callable[[Item], Mapping[str, bytes]]) -> list[str]:
    """Brings the runs of the files on disk up to date; existing runs keep their content.

    No stage runs. Runs of earlier states stay as they are: their files are in DVC's cache, not on disk.

    Args:
        store: Where to.
        layout: Where the files lie.
        draw: Gives the pictures of a candidate's run, PNG bytes by file name.

    Returns:
        The names of the runs.

    Raises:
        DataError: There is no training to show.
    """
    items = layout.items()
    if not items:
        raise DataError(
            "no training is there to show", where=str(layout.reports), todo="run `dvc pull` or `dvc repro` first"
        )
    for item in items:
        _rebuild_item(store, layout, item, draw(item))
    _rebuild_pipeline(store, layout)
    return [*(item.name for item in items), "pipeline"]


def _rebuild_item(store: Store, layout: Layout, item: Item, pictures: Mapping[str, bytes]) -> None:
    stages = [stage for stage in CANDIDATE_STAGES["report"] if _belongs(layout, stage, item)]
    session = item_session(store, layout, item, "report")
    session.run.log(item_facts(layout, item, stages))
    for name, data in pictures.items():
        session.log_picture(name, data)
    session.run.end("FINISHED")


def _belongs(layout: Layout, stage: str, item: Item) -> bool:
    """Whether a stage's figures exist and are of this fold: only the deployed fold goes beyond training."""
    return layout.figures(stage, item).is_file() and (stage == "train" or item.fold == layout.deployed_fold())


def _rebuild_pipeline(store: Store, layout: Layout) -> None:
    """Shows the stages up to the last one whose figures, or whose page, exist."""
    there = [stage for stage in PIPELINE_STAGES if layout.figures(stage).is_file()]
    if layout.pages():
        there = list(PIPELINE_STAGES)
    session = pipeline_session(store, layout, "report")
    if there:
        session.run.log(pipeline_facts(layout, there[-1]))
    session.run.end("FINISHED")
    if (layout.bundle / "metadata.json").is_file():
        register_in(store, layout, layout.bundle)
        if layout.figures("test").is_file():
            show_test(store, layout)
        show_external(store, layout)
