"""Audits the photographs for duplicates, contradictions, shortcuts and unusable files; reports, excludes or stops."""

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
    """Audits, writes the report and the page, then stops or writes the audited table.

    Raises:
        GateError: A kind of fault was found whose action is `stop`, or no labelled photograph is left.
        DataError: A table or a canvas is missing or damaged, or the two tables do not have the same photographs.
        ParamsError: The section `audit` is invalid.
    """
    from dr_pipeline.audit.actions import require_labels, require_no_stop, summary
    from dr_pipeline.audit.inputs import join_inputs
    from dr_pipeline.audit.patient_ids import resolve_patients
    from dr_pipeline.audit.run_audit import audit_report, audited_rows, run_audit
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.files import read_json, write_json, write_text
    from dr_pipeline.params.curation import Audit
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.reporting.audit_page import render
    from dr_pipeline.reporting.thumbnails import Thumbnails
    from dr_pipeline.tables.manifest import read_manifest, write_manifest

    params = load_section(args.params, "audit", Audit)
    store, intake = CanvasStore(args.canvases), read_json(args.intake)
    inputs = resolve_patients(join_inputs(read_manifest(args.manifest), store.rows, intake), params)
    result = run_audit(inputs, params, store.read)
    report, rows = audit_report(inputs, result, params, intake), audited_rows(inputs, result)
    write_json(args.report, report)
    page = render(report, result, inputs, Thumbnails(inputs, store.read).jpeg, adapter=intake["adapter"])
    write_text(args.page, page, private=True)
    require_no_stop(report["counts"], params, where=f"{args.report}; photographs: {args.page}")
    require_labels(rows, where=str(args.report))
    write_manifest(args.out, rows, private=True)
    return Outcome(
        wrote=(args.out, args.report, args.page),
        headline=f"{len(rows)} photographs, {len(result.excluded)} excluded; "
        f"findings: {summary(report['counts']) or 'none'}",
        next_command="dvc repro split",
    )
