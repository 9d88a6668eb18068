"""Draws the report: one page to look at, and its pictures as files."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()

# The only photographs that show nobody: a report is passed on, and a person's photograph must not be.
SYNTHETIC = "synthetic"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    for name, text in (
        ("intake", "what `intake` reported"),
        ("audit", "what `audit` reported"),
        ("split", "what `split` reported"),
        ("gradability", "what `gradability` reported"),
        ("training", "folder of the histories and figures"),
        ("validation", "folder of the validation figures"),
        ("validation-predictions", "parent of the folders that `validate` wrote"),
        ("latency", "folder of the latencies"),
        ("selection", "the choice that `select` wrote"),
        ("test", "figures of the test split"),
        ("test-predictions", "graded photographs of the test split"),
        ("canvases", "folder that `preprocess` wrote"),
        ("bundle", "the bundle"),
        ("machine", "description that `machine` wrote"),
        ("out", "the page to write"),
        ("confusion", "picture to write"),
        ("pareto", "picture to write"),
        ("training-curves", "picture to write"),
        ("reliability", "picture to write"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)


def run(args: argparse.Namespace) -> Outcome:
    """Reads everything, draws, writes the page and four pictures; adds each candidate's pictures to its MLflow run.

    Raises:
        DataError: A file is missing or not as its stage writes it.
    """
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.files import atomic_write, write_text
    from dr_pipeline.reporting.format_estimate import format_estimate
    from dr_pipeline.reporting.plot_style import png, svg
    from dr_pipeline.reporting.report_inputs import read_sources
    from dr_pipeline.reporting.report_page import missed_vision_threatening, render
    from dr_pipeline.reporting.report_plots import largest_misses, report_figures
    from dr_pipeline.reporting.training_plots import item_pictures, split_name
    from dr_pipeline.tracking.run import tracked

    sources = read_sources(
        intake=args.intake,
        audit=args.audit,
        split=args.split,
        gradability=args.gradability,
        training=args.training,
        validation=args.validation,
        latency=args.latency,
        selection=args.selection,
        test=args.test,
        test_predictions=args.test_predictions,
        bundle=args.bundle,
        machine=args.machine,
    )
    with tracked("report"):
        figures = report_figures(sources)
        images = {name: svg(figure) for name, figure in figures.items()}
        if sources.intake["adapter"] == SYNTHETIC:
            images["misses"] = largest_misses(sources, CanvasStore(args.canvases))
        write_text(args.out, render(sources, images))
        written = {
            args.confusion: figures["confusion"],
            args.pareto: figures["pareto"],
            args.training_curves: figures["training"],
            args.reliability: figures["reliability"],
        }
        for path, figure in written.items():
            with atomic_write(path) as stream:
                stream.write(png(figure))
    for name in sources.histories:
        candidate, fold = split_name(name)
        with tracked("report", candidate=candidate, fold=fold) as run_:
            pictures = item_pictures(
                name, training=args.training, validation=args.validation, predictions=args.validation_predictions
            )
            for file_name, data in pictures.items():
                run_.picture(file_name, data)
    return Outcome(
        wrote=(args.out, *written),
        headline=f"test QWK {format_estimate(sources.test['qwk'])}; severe or proliferative called none or mild: "
        f"{len(missed_vision_threatening(sources))} of {sources.graded.vision_threatening.sum()} test photographs",
        next_command=f"open {args.out}",
    )
