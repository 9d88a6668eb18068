"""The view's content: the pipeline's files as parameters, metrics, tags and artifacts; does not import MLflow."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dr_pipeline.files import read_json, sha256_file, sha256_json
from dr_pipeline.params.params_file import read_document
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.history import EpochRow, read_history
from dr_pipeline.tables.pretraining import PretrainingRow, read_pretraining
from dr_pipeline.tracking.dvc_lock import data_hashes
from dr_pipeline.tracking.layout import PIPELINE_STAGES, Item, Layout

# What a training depends on; the other sections act later and may change without a new training.
_TRAINING_SECTIONS = ("preprocess", "split", "training")
# What stands as text in a stage's figures and is worth a tag.
_TEXTS = ("model", "device", "family", "machine", "chosen", "leader")
_REACH = ("low", "high", "n")
# The key under which a stage's metrics file holds its figures, and so the group in which MLflow draws them.
GROUPS = {"train": "training", "validate": "validation", "select": "selection"}


@dataclass(frozen=True)
class Measure:
    """One value of a metric; `step` is the epoch, 0 for a figure that is measured once."""

    name: str
    value: float
    step: int = 0


@dataclass
class Facts:
    """The content of one or several stages' files for a run."""

    params: dict[str, str] = field(default_factory=dict)
    metrics: list[Measure] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: list[tuple[Path, str]] = field(default_factory=list)  # a file and the run's folder for it
    stages: tuple[str, ...] = ()  # as DVC names them; a run's tag `dvc.stage` lists all that wrote to it

    def add(self, other: "Facts") -> None:
        """Joins another stage's facts to these."""
        self.params |= other.params
        self.metrics += other.metrics
        self.tags |= other.tags
        self.artifacts += other.artifacts
        self.stages += other.stages


def item_params(layout: Layout, item: Item) -> dict[str, str]:
    """The parameters a training depends on, flat, such as `training.augmentation.flip`."""
    document = read_document(layout.params)
    sections = {name: document[name] for name in _TRAINING_SECTIONS} | document["candidates"][item.candidate]
    return {"candidate": item.candidate, "fold": str(item.fold)} | flat(sections)


def pipeline_params(layout: Layout) -> dict[str, str]:
    """Every parameter, flat."""
    return flat(read_document(layout.params))


def training_inputs(layout: Layout, item: Item) -> str:
    """Identifies a training before it has a result: a hash of its parameters and of the data it reads."""
    return sha256_json({"params": item_params(layout, item), "data": _data(layout, "train", item)})


def training_result(layout: Layout, item: Item) -> str:
    """Identifies a finished training: the hash of its history, whose seconds differ in every training."""
    return sha256_file(layout.history(item))


def pipeline_state(layout: Layout) -> str:
    """Identifies a state of the pipeline: a hash of its values, its photographs and its code."""
    return sha256_json(
        {
            "params": read_document(layout.params),
            "manifest": sha256_file(layout.manifest) if layout.manifest.is_file() else "",
            "code": {path.stem: read_json(path)["sha256"] for path in sorted(layout.code.glob("*.json"))},
        }
    )


def item_facts(layout: Layout, item: Item, stages: Sequence[str]) -> Facts:
    """The content of the files of a candidate's `stages`."""
    facts = Facts(params=item_params(layout, item), stages=tuple(item.dvc_stage(stage) for stage in stages))
    for stage in stages:
        facts.add(_stage_facts(layout, stage, item))
    if layout.history(item).is_file() and "train" in stages:
        facts.metrics += _curves(read_history(layout.history(item)))
        facts.artifacts.append((layout.history(item), GROUPS["train"]))
        facts.tags["dr.training"] = training_result(layout, item)
    return facts


def pipeline_facts(layout: Layout, last: str) -> Facts:
    """The content of the pipeline's own stages up to and including `last`; files of later ones may be stale."""
    stages = PIPELINE_STAGES[: PIPELINE_STAGES.index(last) + 1]
    facts = Facts(params=pipeline_params(layout), stages=stages)
    for stage in stages:
        facts.add(_stage_facts(layout, stage, None))
    if "pretrain" in stages:
        for name, path in layout.pretrainings().items():
            facts.metrics += _curves(read_pretraining(path), f"pretraining/{name}.")
            facts.artifacts.append((path, "pretraining"))
    if "package" in stages and (layout.bundle / "metadata.json").is_file():
        facts.tags["bundle_id"] = read_json(layout.bundle / "metadata.json")["bundle_id"]
        facts.artifacts += [(layout.bundle / name, "bundle") for name in ("metadata.json", "MODEL_CARD.md")]
    if "external" in stages:
        for name, path in layout.externals().items():
            facts.add(_external_facts(name, path, facts.tags.get("bundle_id", "")))
    if "report" in stages:
        facts.artifacts += [(path, "report") for path in layout.pages()]
    return facts


def _external_facts(name: str, path: Path, bundle_id: str) -> Facts:
    """The figures on another data set, named as those of the test are; none where they are of another bundle."""
    report = read_json(path)["external"][name]
    if report["bundle_id"] != bundle_id:
        return Facts()
    shown = report["figures"] | {part: report[part] for part in ("intention_to_screen", "repeatability", "subgroups")}
    metrics = [Measure(f"external/{name}.{metric}", value) for metric, value in _numbers(shown)]
    return Facts(metrics=metrics, artifacts=[(path, "external")])


def _stage_facts(layout: Layout, stage: str, item: Item | None) -> Facts:
    facts = Facts(tags={"mlflow.note.content": RESEARCH_USE})
    facts.tags |= {f"data.{dependency}.md5": md5 for dependency, md5 in _data(layout, stage, item).items()}
    if (code := layout.code / f"{stage}.json").is_file():
        facts.tags[f"code.{stage}"] = read_json(code)["sha256"]
    path = layout.figures(stage, item)
    if not path.is_file():
        return facts
    group = GROUPS.get(stage, stage)
    content = _own_part(read_json(path), group, item)
    facts.metrics += [Measure(f"{group}/{name}", value) for name, value in _numbers(content)]
    facts.artifacts.append((path, group))
    for name in _TEXTS:
        if isinstance(content.get(name), str):
            facts.tags[f"selection.{name}" if stage == "select" else name] = content[name]
    for package, version in content.get("versions", {}).items():
        facts.tags[f"version.{package}"] = str(version)
    return facts


def _data(layout: Layout, stage: str, item: Item | None) -> dict[str, str]:
    params = read_document(layout.params)
    return data_hashes(stage, item, dvc_yaml=layout.dvc_yaml, lock=layout.lock, params=params)


def _own_part(content: Any, group: str, item: Item | None) -> dict[str, Any]:
    """Steps into {"validation": {"lite0": {…}}}: the nesting `dvc metrics show` needs, and a run does not need."""
    own = content.get(group, content)
    if item is not None:
        own = own.get(item.name, own.get(item.candidate, own))
    return dict(own)


def _curves(history: Iterable[EpochRow | PretrainingRow], prefix: str = "epoch/") -> Iterator[Measure]:
    """Each column of a training's history over the epochs; `epoch` is the step."""
    for row in history:
        for name, value in asdict(row).items():
            if name != "epoch" and math.isfinite(value):
                yield Measure(f"{prefix}{name}", value, row.epoch)


def _numbers(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of nested JSON objects by dotted name; lists (a confusion matrix, ids) stay in the file.

    A figure of the first level brings its interval and n; of those further in (recall by grade, gradable only) only
    the value is shown, since MLflow draws a chart for each metric.
    """
    for key, item in value.items():
        name = prefix if key == "value" else f"{prefix}.{key}" if prefix else key
        if isinstance(item, Mapping):
            yield from _numbers(item, name)
        elif _is_shown(key, item, inner="." in prefix):
            yield name, float(item)


def _is_shown(key: str, value: Any, *, inner: bool) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and key != "schema_version"
    return number and not (inner and key in _REACH)


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested parameters by dotted name, as text."""
    if not isinstance(value, Mapping):
        return {prefix: str(value)}
    named: dict[str, str] = {}
    for key, item in value.items():
        named |= flat(item, f"{prefix}.{key}" if prefix else str(key))
    return named
