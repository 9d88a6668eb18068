"""Looks for duplicates, contradictions, shortcuts and what cannot be used; reports, excludes or stops."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS = ("audit",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths, which dvc.yaml gives."""
    parser.add_argument("--params", type=Path, required=True, metavar="PATH", help="params.yaml; reads audit")
    parser.add_argument("--manifest", type=Path, required=True, metavar="PATH", help="table that intake wrote")
    parser.add_argument("--intake", type=Path, required=True, metavar="PATH", help="report that intake wrote")
    parser.add_argument("--canvases", type=Path, required=True, metavar="PATH", help="folder that preprocess wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="audited table to write")
    parser.add_argument("--report", type=Path, required=True, metavar="PATH", help="JSON to write: every finding")
    parser.add_argument("--page", type=Path, required=True, metavar="PATH", help="HTML to write: findings to look at")


def run(args: argparse.Namespace) -> Outcome:
    """Finds, writes the report and the page, then stops or writes the audited table.

    Raises:
        GateError: A kind of fault was found that params.yaml says to stop at, or no labelled photograph is left.
        DataError: A table or a canvas is missing or damaged, or the two tables are not about the same photographs.
        ParamsError: The section `audit` is wrong.
    """
    from dr_pipeline.audit.actions import stopping
    from dr_pipeline.audit.inputs import gather, referable_of
    from dr_pipeline.audit.report import audit_report, audited_rows
    from dr_pipeline.audit.run_audit import look
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.errors import GateError
    from dr_pipeline.files import read_csv, read_json, write_csv, write_json, write_text
    from dr_pipeline.params.curation import Audit
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.reporting.audit_page import render
    from dr_pipeline.reporting.thumbnails import Thumbnails
    from dr_pipeline.schema import MANIFEST_COLUMNS, MANIFEST_VERSION
    from dr_pipeline.tables.canvas_index import CANVAS_INDEX

    params = load_section(args.params, "audit", Audit)
    manifest = read_csv(args.manifest, MANIFEST_COLUMNS, version=MANIFEST_VERSION)
    store = CanvasStore(args.canvases)
    intake = read_json(args.intake)

    index = {image_id: CANVAS_INDEX.cells(row) for image_id, row in store.rows.items()}
    evidence = gather(manifest, index, intake)
    audited = look(evidence, params, store.read)
    report = audit_report(evidence, audited, params, intake)
    write_json(args.report, report)
    thumbnails = Thumbnails(evidence, store.read)
    write_text(args.page, render(report, audited, evidence, thumbnails.jpeg, adapter=intake["adapter"]))
    counts = report["counts"]
    if stops := stopping(counts, params):
        raise GateError(
            f"the audit stops the build: {_told(stops)}",
            where=f"{args.report}; to look at: {args.page}",
            todo="mend the data set, or set " + ", ".join(f"audit.{kind}" for kind in stops) + " in params.yaml",
        )
    rows = audited_rows(evidence, audited)
    if not any(referable_of(row) is not None and not row["excluded"] for row in rows):
        raise GateError(
            f"no photograph with a label is left of {len(rows)}",
            where=str(args.report),
            todo="the report lists why each was left out",
        )
    write_csv(args.out, MANIFEST_COLUMNS, rows)
    found = {kind: count for kind, count in counts.items() if count}
    return Outcome(
        wrote=(args.out, args.report, args.page),
        headline=f"{len(rows)} photographs, {len(audited.excluded)} left out; findings: {_told(found) or 'none'}",
        next_command="dvc repro split",
    )


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', '-')}" for kind, count in counts.items())
