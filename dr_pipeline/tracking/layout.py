"""The files that the view shows, and the stages of each run. A test compares these paths with dvc.yaml."""

from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.params.params_file import read_document

# The stages that share one run per pipeline state, in the order in which each needs the ones before it.
PIPELINE_STAGES = (
    "intake", "preprocess", "audit", "split", "gradability", "pretrain", "select", "package", "test", "external",
    "report",
)  # fmt: skip
_FIGURES = {"select": "selection", "report": "metrics"}  # files that are not named after their stage
# The stages that share one run per trained candidate, each with those it needs.
CANDIDATE_STAGES: dict[str, tuple[str, ...]] = {
    "train": ("train",),
    "export": ("train", "export"),
    "validate": ("train", "export", "validate"),
    "latency": ("train", "export", "validate", "latency"),
    # The report reads them all, and adds its pictures to each candidate's run.
    "report": ("train", "export", "validate", "latency"),
}


@dataclass(frozen=True)
class Item:
    """One trained network: a candidate on one fold. Export, validate and latency belong to the deployed fold."""

    candidate: str
    fold: int

    @property
    def name(self) -> str:
        """Its name in DVC and in files, such as `lite0-0`."""
        return f"{self.candidate}-{self.fold}"

    def dvc_stage(self, stage: str) -> str:
        """The name DVC gives the stage's instance, such as `train@lite0-0`."""
        return f"{stage}@{self.name if stage == 'train' else self.candidate}"


@dataclass(frozen=True)
class Layout:
    """Where the pipeline's files lie.

    Args:
        reports: Folder of the figures and pictures.
        data: Folder of the tables, models and the bundle.
        params: params.yaml.
        lock: dvc.lock; dvc.yaml lies beside it.
    """

    reports: Path
    data: Path
    params: Path
    lock: Path

    @classmethod
    def at(cls, root: Path) -> "Layout":
        """The layout of dvc.yaml under a repository's root."""
        return cls(root / "reports", root / "data", root / "params.yaml", root / "dvc.lock")

    @property
    def dvc_yaml(self) -> Path:
        """The pipeline's definition."""
        return self.lock.with_name("dvc.yaml")

    @property
    def code(self) -> Path:
        """Folder of the code versions that the stage `code` wrote; empty or missing without DVC."""
        return self.data / "code"

    @property
    def manifest(self) -> Path:
        """The table of all photographs."""
        return self.data / "manifest.csv"

    @property
    def bundle(self) -> Path:
        """The bundle that `package` made."""
        return self.data / "release"

    def items(self) -> list[Item]:
        """The trainings of params.yaml whose histories exist; those of a former params.yaml are ignored."""
        document = read_document(self.params)
        items = [Item(candidate, int(fold)) for candidate in document["candidates"] for fold in document["folds"]]
        return sorted((item for item in items if self.history(item).is_file()), key=lambda item: item.name)

    def pretrainings(self) -> dict[str, Path]:
        """The tables of epochs of the self-supervised trainings in params.yaml, by name, as far as they exist."""
        names = read_document(self.params)["pretraining"]
        paths = {name: self.reports / "pretraining" / f"{name}.csv" for name in names}
        return {name: path for name, path in paths.items() if path.is_file()}

    def externals(self) -> dict[str, Path]:
        """The figures of the external validations in params.yaml, by data set, as far as they exist."""
        names = read_document(self.params)["external"]
        paths = {name: self.reports / "external" / f"{name}.json" for name in names}
        return {name: path for name, path in paths.items() if path.is_file()}

    def deployed_fold(self) -> int:
        """The first of `folds`: the one that is exported, validated and deployed."""
        return int(read_document(self.params)["folds"][0])

    def history(self, item: Item) -> Path:
        """The curves of a training, one row per epoch."""
        return self.reports / "training" / f"{item.name}.csv"

    def figures(self, stage: str, item: Item | None = None) -> Path:
        """The JSON file of a stage's figures; not every stage has one."""
        if item is None:
            return self.reports / f"{_FIGURES.get(stage, stage)}.json"
        return {
            "train": self.reports / "training" / f"{item.name}.json",
            "export": self.data / "exports" / item.candidate / "export.json",
            "validate": self.reports / "validation" / f"{item.candidate}.json",
            "latency": self.reports / "latency" / f"{item.candidate}.json",
        }[stage]

    def validation_predictions(self, item: Item) -> list[Path]:
        """The graded validation photographs of a candidate, in each of its formats."""
        folder, cascades = self.data / "validation" / item.candidate, self.data / "cascades" / item.candidate
        return [folder / "predictions.csv", *sorted(folder.glob("*/predictions.csv")), cascades / "predictions.csv"]

    @property
    def test_predictions(self) -> Path:
        """The graded test photographs of the bundle."""
        return self.data / "test_predictions.csv"

    def pages(self) -> list[Path]:
        """The report and its plots, as far as they exist."""
        return sorted(path for path in self.reports.glob("*") if path.suffix in {".html", ".png", ".svg"})
