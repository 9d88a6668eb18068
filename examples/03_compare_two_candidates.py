"""Compares two candidates on the same photographs: QWK of each and the paired difference, with intervals by group.

python examples/03_compare_two_candidates.py FIRST.csv SECOND.csv     (data/validation/<candidate>/predictions.csv)
"""

import argparse
from pathlib import Path

import numpy as np

from dr_pipeline.errors import DataError
from dr_pipeline.metrics.bootstrap import paired_qwk_difference, qwk_estimate
from dr_pipeline.metrics.intervals import format_estimate
from dr_pipeline.metrics.kappa import confusion_matrix
from dr_pipeline.tables.graded import read_graded

BOOTSTRAP = {"replicates": 1000, "seed": 0, "confidence": 0.95}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    args = parser.parse_args()
    first, second = (sorted(read_graded(path), key=lambda row: row.image_id) for path in (args.first, args.second))
    keys = [[(row.image_id, row.grade, row.group) for row in rows] for rows in (first, second)]
    if keys[0] != keys[1]:
        raise DataError(
            "the two tables differ in photographs, true grades or groups",
            where=f"{args.first}, {args.second}",
            todo="compare candidates of one split",
        )
    true, groups = np.array([row.grade for row in first]), [row.group for row in first]
    grades = [np.array([row.predicted for row in rows]) for rows in (first, second)]
    for path, predicted in zip((args.first, args.second), grades, strict=True):
        print(f"{path}: QWK {format_estimate(qwk_estimate(true, predicted, groups, **BOOTSTRAP).to_dict())}")
        print(confusion_matrix(true, predicted))
    difference = paired_qwk_difference(true, *grades, groups, **BOOTSTRAP)
    print(f"first minus second: {format_estimate(difference.to_dict())}")


if __name__ == "__main__":
    main()
