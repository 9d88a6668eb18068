"""Writes the report: one page with its plots, figures and curves for programs, checklists, the page of cases."""

import argparse
from dataclasses import fields
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    for name, text in (
        ("intake", "report of `intake`"),
        ("audit", "report of `audit`"),
        ("split", "report of `split`"),
        ("gradability", "report of `gradability`"),
        ("training", "folder of the histories and figures"),
        ("validation", "folder of the validation figures"),
        ("validation-predictions", "parent of the folders that `validate` wrote"),
        ("latency", "folder of the latencies"),
        ("selection", "the selection that `select` wrote"),
        ("test", "figures of the test split"),
        ("test-predictions", "graded photographs of the test split"),
        ("canvases", "folder that `preprocess` wrote"),
        ("bundle", "the bundle"),
        ("manifest", "table that `intake` wrote: where the photographs are"),
        ("root", "the folder of the photographs, in which a bundle with lesions.onnx looks for lesions"),
        ("machine", "description that `machine` wrote"),
        ("external", "folder of the external validations; may be empty"),
        ("out", "the page to write"),
        ("cases", "page of photographs to write, which stays in the clinic"),
        ("metrics", "headline figures to write (JSON)"),
        ("checklists", "page of the reporting checklists to write"),
        ("curves", "folder of the curves to write (JSON)"),
        ("confusion", "plot to write"),
        ("pareto", "plot to write"),
        ("training-curves", "plot to write"),
        ("reliability", "plot to write"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    parser.add_argument("--cascades", type=Path, help="parent of the folders that `cascade` wrote; without: none")
    parser.add_argument("--cascade-figures", type=Path, help="the figures that `cascade` wrote")


def run(args: argparse.Namespace) -> Outcome:
    """Writes the three pages, figures, curves and four plots; adds each candidate's plots to its MLflow run.

    Raises:
        DataError: A file is missing or not as its stage writes it.
    """
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.deployment.candidate_formats import is_cascade
    from dr_pipeline.evaluation.label_errors import read_out_of_fold
    from dr_pipeline.files import atomic_write, write_json, write_text
    from dr_pipeline.metrics.intervals import format_estimate
    from dr_pipeline.reporting import cases_page, checklists
    from dr_pipeline.reporting.curves import curves
    from dr_pipeline.reporting.metrics_document import metrics_document
    from dr_pipeline.reporting.plot_style import png
    from dr_pipeline.reporting.report_inputs import ReportFiles, read_sources
    from dr_pipeline.reporting.report_page import missed_vision_threatening, render
    from dr_pipeline.reporting.report_plots import report_figures, report_images
    from dr_pipeline.reporting.training_plots import candidate_plots, split_name
    from dr_pipeline.scoring.explain import attribution_map
    from dr_pipeline.scoring.lesions import find_by_id
    from dr_pipeline.tables.manifest import iterate_manifest
    from dr_pipeline.tracking.run import tracked

    sources = read_sources(ReportFiles(**{field.name: getattr(args, field.name) for field in fields(ReportFiles)}))
    plots = {
        args.confusion: "confusion",
        args.pareto: "pareto",
        args.training_curves: "training",
        args.reliability: "reliability",
    }
    with tracked("report"):
        figures = report_figures(sources)
        write_text(args.checklists, checklists.render(sources))
        write_json(args.metrics, metrics_document(sources))
        for name, rows in curves(sources).items():
            write_json(args.curves / f"{name}.json", rows)
        graded, store, canvas_map = sources.graded, CanvasStore(args.canvases), attribution_map(args.bundle)
        find_lesions = find_by_id(args.bundle, args.root, iterate_manifest(args.manifest))
        missed = cases_page.missed_cases(graded, store, canvas_map, find_lesions)
        write_text(args.out, render(sources, report_images(sources, figures, args.canvases), missed))
        predictions = args.cascades if is_cascade(sources.chosen) else args.validation_predictions
        out_of_fold = read_out_of_fold([predictions / sources.chosen / "predictions.csv"])
        cases = cases_page.render(
            missed,
            cases_page.label_cases(out_of_fold, store, canvas_map),
            bundle_id=sources.bundle["bundle_id"],
            vision_threatening=int(graded.vision_threatening.sum()),
        )
        write_text(args.cases, cases, private=True)
        for path, name in plots.items():
            with atomic_write(path) as stream:
                stream.write(png(figures[name]))
    for name in sources.histories:
        candidate, fold = split_name(name)
        with tracked("report", candidate=candidate, fold=fold) as tracker:
            images = candidate_plots(
                name, training=args.training, validation=args.validation, predictions=args.validation_predictions
            )
            for file_name, data in images.items():
                tracker.picture(file_name, data)
    return Outcome(
        wrote=(args.out, args.cases, args.checklists, args.metrics, args.curves, *plots),
        headline=f"test QWK {format_estimate(sources.test['qwk'])}"
        f"{'' if sources.external else ', internal test only'}; severe or proliferative called none or mild: "
        f"{len(missed_vision_threatening(sources))} of {sources.graded.vision_threatening.sum()} test photographs",
        next_command=f"open {args.out}",
    )
