"""The open run of a stage, brought up to date with the stage's files."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dr_pipeline.tracking.facts import (
    GROUPS,
    Facts,
    Measure,
    flat,
    item_facts,
    item_params,
    pipeline_facts,
    pipeline_state,
    training_inputs,
    training_result,
)
from dr_pipeline.tracking.layout import CANDIDATE_STAGES, Item, Layout
from dr_pipeline.tracking.store import Store, StoredRun

PIPELINE_RUN = "pipeline"


class Session:
    """A run while one stage writes to it."""

    def __init__(self, store: Store, run: StoredRun, layout: Layout, stage: str, item: Item | None) -> None:
        self.store, self.run, self.layout, self.stage, self.item = store, run, layout, stage, item

    @property
    def _group(self) -> str:
        """The group of the stage's figures."""
        return GROUPS.get(self.stage, self.stage)

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Shows a training's parameters; another stage's result is a tag.

        MLflow refuses to change a parameter, and a later stage may run again in the same run with another result.
        """
        named = flat(values)
        self.run.log(Facts(params=named) if self.stage == "train" else Facts(tags=named))

    def log_metrics(self, values: Mapping[str, float], step: int | None) -> None:
        """Shows figures, or points of curves where there is a `step`, under the names of their files."""
        group = self._group if step is None else "epoch"
        named = {f"{group}/{name.removeprefix(f'{group}.')}": float(value) for name, value in values.items()}
        self.run.log(Facts(metrics=[Measure(name, value, step or 0) for name, value in named.items()]))

    def log_artifact(self, path: Path) -> None:
        """Copies a file into the run."""
        self.run.log(Facts(artifacts=[(path, self._group)]))

    def log_picture(self, name: str, data: bytes) -> None:
        """Adds an image to the run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            self.run.log(Facts(artifacts=[(path, "pictures")]))

    def end(self, status: str) -> None:
        """Shows the files of a successful stage; a failed one leaves only its name and status."""
        if status == "FINISHED":
            self.run.log(self.facts())
        else:
            self.run.log(Facts(tags={"dr.failed": self.stage}))
        self.run.end(status)

    def facts(self) -> Facts:
        """The content of the files of this stage and of those before it."""
        if self.item is None:
            return pipeline_facts(self.layout, self.stage)
        return item_facts(self.layout, self.item, CANDIDATE_STAGES[self.stage])


def item_session(store: Store, layout: Layout, item: Item, stage: str) -> Session:
    """Opens the run of a candidate.

    A training continues the run that an interrupted training with the same inputs left, else begins a new one. The
    stages after it find the run by the hash of the training's history on disk; where the store does not know it
    (DVC restored the training, or the store is new) it is made from the files.
    """
    if stage == "train":
        tags = {"dr.item": item.name, "dr.inputs": training_inputs(layout, item)}
        run = store.find(tags, without="dr.training") or store.create(item.name, tags)
        run.resume()
        run.log(Facts(params=item_params(layout, item)))
    else:
        tags = {"dr.item": item.name, "dr.training": training_result(layout, item)}
        run = store.find(tags) or store.create(item.name, tags | {"dr.inputs": training_inputs(layout, item)})
    return Session(store, run, layout, stage, item)


def pipeline_session(store: Store, layout: Layout, stage: str) -> Session:
    """Opens the run that the stages without a candidate share while values, photographs and code stay the same."""
    tags = {"dr.item": PIPELINE_RUN, "dr.state": pipeline_state(layout)}
    run = store.find(tags) or store.create(PIPELINE_RUN, tags)
    return Session(store, run, layout, stage, None)
