"""Looks for identical, contradicting, unreadable and orphaned photographs; reports, excludes or stops."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS = ("audit",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths, which dvc.yaml gives."""
    parser.add_argument("--params", type=Path, required=True, metavar="PATH", help="params.yaml; reads audit")
    parser.add_argument("--manifest", type=Path, required=True, metavar="PATH", help="table that intake wrote")
    parser.add_argument("--intake", type=Path, required=True, metavar="PATH", help="report that intake wrote")
    parser.add_argument("--index", type=Path, required=True, metavar="PATH", help="index.csv of the canvases")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="audited table to write")
    parser.add_argument("--report", type=Path, required=True, metavar="PATH", help="JSON to write: every finding")


def run(args: argparse.Namespace) -> Outcome:
    """Finds, writes the report, then stops or writes the audited table.

    Raises:
        GateError: A kind of fault was found that params.yaml says to stop at, or no graded photograph is left.
        DataError: A table is missing, or the two are not about the same photographs.
        ParamsError: The section `audit` is wrong.
    """
    from dr_pipeline.errors import GateError
    from dr_pipeline.files import read_csv, read_json, write_csv, write_json
    from dr_pipeline.intake.audit import audited_rows, exclusions, find
    from dr_pipeline.intake.audit_report import audit_report
    from dr_pipeline.params.audit import Audit
    from dr_pipeline.params.load import load_section
    from dr_pipeline.schema import CANVAS_INDEX_COLUMNS, CANVAS_INDEX_VERSION, MANIFEST_COLUMNS, MANIFEST_VERSION

    actions = load_section(args.params, "audit", Audit)
    manifest = read_csv(args.manifest, MANIFEST_COLUMNS, version=MANIFEST_VERSION)
    canvases = read_csv(args.index, CANVAS_INDEX_COLUMNS, version=CANVAS_INDEX_VERSION)
    index = {row["image_id"]: row for row in canvases}
    intake = read_json(args.intake)

    findings = find(manifest, index, intake["orphans"])
    excluded = exclusions(findings, manifest, index, actions)
    report = audit_report(manifest, index, findings, excluded, actions, intake)
    write_json(args.report, report)
    if stopping := findings.stopping(actions):
        told = ", ".join(f"{count} {kind.replace('_', '-')}" for kind, count in stopping.items())
        raise GateError(
            f"the audit stops the build: {told}",
            where=str(args.report),
            todo="mend the data set, or set " + ", ".join(f"audit.{kind}" for kind in stopping) + " in params.yaml",
        )
    rows = audited_rows(manifest, index, findings, excluded)
    if not any(row["grade"] and not row["excluded"] for row in rows):
        raise GateError(
            f"no graded photograph is left of {len(rows)}",
            where=str(args.report),
            todo="the report lists why each was left out",
        )
    write_csv(args.out, MANIFEST_COLUMNS, rows)
    counts = ", ".join(f"{count} {kind.replace('_', '-')}" for kind, count in findings.counts().items())
    return Outcome(
        wrote=(args.out, args.report),
        headline=f"{len(rows)} photographs, {len(excluded)} left out; findings: {counts}",
        next_command="dvc repro split",
    )
