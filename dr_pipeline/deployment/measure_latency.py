"""Times networks that are not packed yet on the validation photographs, each in a process of its own."""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from dr_pipeline.params.evaluation import Latency
from dr_pipeline.processes import exit_with_parent
from dr_pipeline.schema import Split
from dr_pipeline.scoring.latency import export_latency
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.tables.splits import read_splits, select_split


@dataclass(frozen=True)
class TimedPhotographs:
    """Photographs to time gradings on.

    Attributes:
        paths: Their files.
        megapixels: The median of theirs.
    """

    paths: list[Path]
    megapixels: float

    @classmethod
    def of_validation(cls, root: Path, audited: Path, splits: Path, fold: int) -> "TimedPhotographs":
        """Those of a fold's validation part.

        Args:
            root: Folder of the photographs.
            audited: Table that `audit` wrote.
            splits: Table that `split` wrote.
            fold: The deployed fold.
        """
        manifest = {row.image_id: row for row in read_manifest(audited)}
        rows = [manifest[row.image_id] for row in select_split(read_splits(splits), Split.VALIDATION, fold)]
        megapixels = round(median((row.width or 0) * (row.height or 0) / 1e6 for row in rows), 3)
        return cls([root / row.path for row in rows], megapixels)


def measure_latency(
    networks: Mapping[str, tuple[Path, Path]],
    photographs: TimedPhotographs,
    gradability: Path,
    params: Latency,
    *,
    machine: str,
) -> dict[str, dict[str, Any]]:
    """`latency_figures` of each network, by its name.

    Args:
        networks: The folders that `export` and `validate` wrote.
        photographs: To grade.
        gradability: Quality thresholds (JSON).
        params: Photographs and threads.
        machine: Fingerprint of this one.

    Raises:
        DataError: A file is missing, or a photograph cannot be graded.
    """
    measured = {}
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=exit_with_parent, max_tasks_per_child=1) as pool:
        for name, (export, validation) in networks.items():
            latency = pool.submit(
                export_latency,
                export,
                validation,
                gradability,
                photographs.paths,
                warmup=params.warmup_photographs,
                count=params.num_photographs,
                threads=params.threads,
            ).result()
            measured[name] = latency | {"machine": machine, "median_megapixels": photographs.megapixels}
    return measured
