"""Out-of-fold predictions of one arm: each outer fold graded by the decision fitted on its own validation part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.evaluation.decision_fit import fit_decision
from dr_pipeline.experiments.fold_results import FoldResult
from dr_pipeline.experiments.nested_folds import NestedFold
from dr_pipeline.params.evaluation import OperatingPoint
from dr_pipeline.tables.splits import SplitRow


@dataclass(frozen=True)
class OutOfFold:
    """Photographs graded by a network and a decision that were not fitted on them, once in every fold that holds them.

    Attributes:
        rows: N photographs, fold after fold.
        folds: The outer fold of each, shape (N,).
        logits: Shape (N, 5).
        decided: The decisions.
        shifted: Of each camera, the decisions on the same photographs through it.
        sites: The site that each fold holds out or trains on; empty where folds are drawn.
    """

    rows: tuple[SplitRow, ...]
    folds: NDArray[np.int64]
    logits: NDArray[np.float32]
    decided: Decided
    shifted: Mapping[str, Decided] = field(default_factory=dict)
    sites: tuple[str, ...] = ()

    @property
    def grades(self) -> NDArray[np.int64]:
        """The readers' grades, shape (N,)."""
        return np.array([row.grade for row in self.rows], dtype=np.int64)

    @property
    def groups(self) -> list[str]:
        """The group of each photograph, the unit of resampling; N names."""
        return [row.group for row in self.rows]


def pool_folds(
    folds: Sequence[NestedFold], results: Sequence[FoldResult], targets: OperatingPoint, *, seed: int
) -> OutOfFold:
    """Fits each fold's decision on its validation part and applies it to its outer part.

    Args:
        folds: The nested folds.
        results: One per fold, in the same order.
        targets: Target sensitivity and fraction for human review.
        seed: Seed of the resamplings that steady the cut points.
    """
    pieces: list[Decided] = []
    shifted: dict[str, list[Decided]] = {}
    for nested, result in zip(folds, results, strict=True):
        decision = fit_decision(
            result.validation,
            np.array([row.grade for row in nested.validation], dtype=np.int64),
            [row.group for row in nested.validation],
            targets,
            seed=seed,
            provenance={"split": "inner validation part", "fold": str(nested.fold)},
        )
        pieces.append(decision.apply(result.outer))
        for camera, logits in result.shifted.items():
            shifted.setdefault(camera, []).append(decision.apply(logits))
    return OutOfFold(
        rows=tuple(row for nested in folds for row in nested.outer),
        folds=np.concatenate([np.full(len(nested.outer), nested.fold, dtype=np.int64) for nested in folds]),
        logits=np.concatenate([result.outer for result in results]),
        decided=_pooled(pieces),
        shifted={camera: _pooled(of_folds) for camera, of_folds in shifted.items()},
        sites=tuple(nested.site for nested in folds if nested.site),
    )


def _pooled(pieces: Sequence[Decided]) -> Decided:
    return Decided(
        **{one.name: np.concatenate([getattr(piece, one.name) for piece in pieces]) for one in fields(Decided)}
    )
