"""Baselines without the retina: logistic regressions on geometry, camera or the photograph's general appearance.

Where one of them is as good as the bundle, the bundle may have learned the camera or the site. Each is fitted on the
development part, cut points included, and applied to the test part.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.metrics.cross_fitting import held_out_parts
from dr_pipeline.metrics.cut_points import best_cut_points
from dr_pipeline.schema import NUM_GRADES
from dr_pipeline.tables.canvas_index import CanvasRow
from dr_pipeline.tables.splits import SplitRow

_GEOMETRY = ("width", "height", "disc_radius", "disc_aspect")
_APPEARANCE = ("brightness", "contrast", "sharpness", "red_over_green", "blue_over_green", "quality")


@dataclass(frozen=True)
class Features:
    """What a baseline sees of N photographs.

    Attributes:
        numbers: Shape (N, K); nan: not measured.
        categories: Shape (N, C), text.
    """

    numbers: NDArray[np.float64]
    categories: NDArray[np.str_]

    def select(self, rows: NDArray[np.int64]) -> "Features":
        """Some of the photographs."""
        return Features(self.numbers[rows], self.categories[rows])

    @property
    def informative(self) -> bool:
        """Whether any column has more than one value."""
        columns = [*self.numbers.T, *self.categories.T]
        return any(len(np.unique(column)) > 1 for column in columns)


def feature_sets(rows: Sequence[SplitRow], index: Mapping[str, CanvasRow]) -> dict[str, Features]:
    """The features of each baseline.

    Args:
        rows: N photographs.
        index: The canvases' index by image id.

    Raises:
        DataError: It lacks a photograph.
    """
    if missing := [row.image_id for row in rows if row.image_id not in index]:
        raise DataError(
            f"{len(missing)} photographs of the split are not in the canvases' index, such as {missing[0]!r}",
            todo="run `dvc repro`",
        )
    canvases = [index[row.image_id] for row in rows]
    nothing = np.empty((len(rows), 0), dtype=np.str_)
    shots = [(row.site, canvas.camera, canvas.format) for row, canvas in zip(rows, canvases, strict=True)]
    return {
        "geometry": Features(_numbers(canvases, _GEOMETRY), nothing),
        "camera": Features(np.empty((len(rows), 0)), np.array(shots, dtype=np.str_).reshape(len(rows), 3)),
        "small_features": Features(_numbers(canvases, _APPEARANCE), nothing),
    }


def fit_and_grade(
    development: Features, true: NDArray[np.int64], groups: Sequence[str], test: Features
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Fits on the development part and grades the test part.

    The cut points are fitted on expected grades of photographs held out, since those of the fitted photographs are
    too far apart.

    Args:
        development: Of N photographs.
        true: Their grades, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        test: Of M photographs.

    Returns:
        Grades and expected grades, each of shape (M,); None where every feature has one value or there is one grade.
    """
    if not development.informative or len(set(true.tolist())) < 2:
        return None
    held_out_grades = np.empty(len(true))
    for held_out, rest in held_out_parts(groups):
        held_out_grades[held_out] = _expected(development.select(rest), true[rest], development.select(held_out))
    expected = _expected(development, true, test)
    cuts = best_cut_points(held_out_grades, true)
    return np.searchsorted(cuts, expected, side="right").astype(np.int64), expected


def _expected(fitted: Features, true: NDArray[np.int64], asked: Features) -> NDArray[np.float64]:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    present = np.unique(true)
    if len(present) < 2:
        return np.full(len(asked.numbers), float(true[0]))
    columns, columns_asked = [], []
    if fitted.numbers.shape[1]:
        scale = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
        columns.append(scale.fit_transform(fitted.numbers))
        columns_asked.append(scale.transform(asked.numbers))
    if fitted.categories.shape[1]:
        one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        columns.append(one_hot.fit_transform(fitted.categories))
        columns_asked.append(one_hot.transform(asked.categories))
    model = LogisticRegression(max_iter=1000).fit(np.concatenate(columns, axis=1), true)
    probabilities = np.zeros((len(asked.numbers), NUM_GRADES))
    probabilities[:, present] = model.predict_proba(np.concatenate(columns_asked, axis=1))
    return np.asarray(probabilities @ np.arange(NUM_GRADES))


def _numbers(canvases: Sequence[CanvasRow], names: Sequence[str]) -> NDArray[np.float64]:
    values = [[getattr(canvas, name) for name in names] for canvas in canvases]
    return np.array([[math.nan if value is None else value for value in row] for row in values]).reshape(-1, len(names))
