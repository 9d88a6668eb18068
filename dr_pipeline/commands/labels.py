"""Lists labels that may be wrong, the most suspicious first.

Confident learning on out-of-fold predictions: a label is listed if the networks, none of them trained on that
photograph, are confident of another grade, or if the most probable grade is two or more grades away. The largest
distances come first. The list is for a human reader; no label is changed.

Give tables of networks that were not trained on the photographs: data/validation/<candidate>/predictions.csv, and the
out-of-fold predictions of `experiment`, which cover all development photographs. Predictions for training photographs
look the same but hide wrong labels, since the network has fitted them. If several tables contain one photograph, their
probabilities are averaged.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.argument_types import positive_int
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
    parser.add_argument("--top", type=positive_int, metavar="N", help="only the N most suspicious (default: all)")


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
        suspicious_rows,
    )
    from dr_pipeline.scoring.input_safety import require_not_read
    from dr_pipeline.tables.suspicious_labels import write_suspicious_labels

    require_not_read((args.out,), args.predictions)
    predictions = read_out_of_fold(args.predictions)
    suspicions = suspicious_labels(predictions.grades, predictions.probabilities)
    listed = suspicions[: args.top]
    write_suspicious_labels(args.out, suspicious_rows(predictions, listed), private=True)
    thresholds = confidence_thresholds(predictions.grades, predictions.probabilities)
    lines = [f"{len(suspicions)} of {len(predictions.image_ids)} labels are suspicious; {len(listed)} listed"]
    if predictions.left_aside:
        lines.append(f"{predictions.left_aside} rows without a label or without probabilities were ignored")
    for grade in GRADES:
        count = int((predictions.grades == grade).sum())
        num_suspicious = sum(int(predictions.grades[suspicion.index]) == grade for suspicion in suspicions)
        lines.append(
            f"grade {grade}: {num_suspicious} of {count} suspicious; confident from probability {thresholds[grade]:.2f}"
            if np.isfinite(thresholds[grade])
            else f"grade {grade}: no photograph has this label, so it is never suggested"
        )
    return Outcome(wrote=(args.out,), headline="\n".join([*lines, RESEARCH_USE]), next_command="")
