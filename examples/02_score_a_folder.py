"""Scores a folder with a bundle and counts the rows by status and grade; every file gets one row.

python examples/02_score_a_folder.py FOLDER --bundle DIR --out CSV
"""

import argparse
from collections import Counter
from pathlib import Path

from dr_pipeline.scoring.folder import score_folder
from dr_pipeline.tables.predictions import read_predictions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    summary = score_folder(args.folder, args.bundle, args.out)  # each worker process verifies hashes and self-test
    rows = read_predictions(args.out)
    print(f"{summary.files} files, {len(rows)} rows, bundle {summary.bundle_id}")
    for status, count in sorted(Counter(row.status.value for row in rows).items()):
        print(f"  {status}: {count}")
    for grade, count in sorted(Counter(row.grade for row in rows if row.grade is not None).items()):
        print(f"  grade {grade}: {count}")
    print(f"  for a person to look at: {sum(row.needs_human for row in rows)}")


if __name__ == "__main__":
    main()
