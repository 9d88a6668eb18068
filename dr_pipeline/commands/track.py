"""Rebuilds the MLflow store from the files that DVC owns; runs no stage."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the action and the files; the defaults are those of the repository."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="rebuild")
    rebuild = actions.add_parser("rebuild", help="bring the MLflow runs of the files on disk up to date")
    rebuild.add_argument("--reports", type=Path, default=Path("reports"), help="folder of figures and plots")
    rebuild.add_argument("--data", type=Path, default=Path("data"), help="folder of tables, models and the bundle")
    rebuild.add_argument("--lock", type=Path, default=Path("dvc.lock"), help="the lock file of DVC")
    rebuild.add_argument("--params", type=Path, default=Path("params.yaml"), help="the parameters")


def run(args: argparse.Namespace) -> Outcome:
    """Rebuilds the runs and lists them.

    Raises:
        DataError: There is no training, or a file is not as its stage writes it.
        EnvironmentProblem: The server is away.
    """
    from dr_pipeline.reporting.training_plots import candidate_plots
    from dr_pipeline.tracking.layout import Item, Layout
    from dr_pipeline.tracking.rebuild import rebuild
    from dr_pipeline.tracking.remote import is_remote, without_credentials
    from dr_pipeline.tracking.store import Store, files_root

    layout = Layout(reports=args.reports, data=args.data, params=args.params, lock=args.lock)

    def draw(item: Item) -> dict[str, bytes]:
        return candidate_plots(
            item.name,
            training=layout.reports / "training",
            validation=layout.reports / "validation",
            predictions=layout.data / "validation",
        )

    store = Store(files_root(Path.cwd()))
    names = rebuild(store, layout, draw)
    place = without_credentials(store.uri)
    return Outcome(
        wrote=(),
        headline=f"{len(names)} runs in experiment {store.experiment} at {place}: {', '.join(names)}",
        next_command=f"open {place}" if is_remote(store.uri) else "mlflow ui",
    )
