"""Lists the labels that are worth a second reading, the most suspicious first.

Confident learning on out-of-fold predictions: a label is listed where the networks, none of them trained on that
photograph, are confident of another grade, or find one most probable that is two or more grades away. The farthest come
first. The list is for a human reader; no label is changed.

Give tables whose network has not seen the photographs: data/validation/<candidate>/predictions.csv, and the
out-of-fold predictions of `experiment`, which cover all development photographs. A table of photographs that a network
was trained on looks the same and hides wrong labels, since the network has learnt them. Where several tables hold one
photograph, their probabilities are averaged.
"""

import argparse
from pathlib import Path

from dr_pipeline.schema import GRADES, RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "--predictions",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="CSV tables with image_id, grade (the label) and p0 to p4, out of fold",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="CSV table to write")
    parser.add_argument("--top", type=_at_least_one, metavar="N", help="only the N most suspicious (default: all)")


def run(args: argparse.Namespace) -> Outcome:
    """Reads, ranks, writes.

    Raises:
        DataError: A table cannot be used, see `read_out_of_fold`.
    """
    import numpy as np

    from dr_pipeline.evaluation.label_errors import (
        confidence_thresholds,
        read_out_of_fold,
        suspicious_labels,
        write_suspicious,
    )

    predictions = read_out_of_fold(args.predictions)
    found = suspicious_labels(predictions.grades, predictions.probabilities)
    write_suspicious(args.out, predictions, found[: args.top])
    thresholds = confidence_thresholds(predictions.grades, predictions.probabilities)
    lines = [f"{len(found)} of {len(predictions.image_ids)} labels are suspicious; {len(found[: args.top])} listed"]
    if predictions.left_aside:
        lines.append(f"{predictions.left_aside} rows without a label or without probabilities were left aside")
    for grade in GRADES:
        count = int((predictions.grades == grade).sum())
        doubted = sum(int(predictions.grades[one.index]) == grade for one in found)
        lines.append(
            f"grade {grade}: {doubted} of {count} suspicious, claimed from a probability of {thresholds[grade]:.2f}"
            if np.isfinite(thresholds[grade])
            else f"grade {grade}: no photograph bears it, so none is suspected to be one"
        )
    return Outcome(wrote=(args.out,), headline="\n".join([*lines, RESEARCH_USE]), next_command="")


def _at_least_one(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is needed, not {text!r}")
    return int(text)
