"""Brings MLflow up to date with the files that DVC owns, and moves bundles into and out of its registry.

`track rebuild` makes the runs of the files on disk; no stage runs. `track register BUNDLE` adds a bundle from elsewhere
or a site's child, which names the version of its parent. `track download VERSION --out DIR` writes a version's bundle.
Research use only. Not a medical device.
"""

import argparse
from pathlib import Path

from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome, shell_word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the action and the files; the defaults are those of the repository."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    rebuild = actions.add_parser("rebuild", help="bring the MLflow runs of the files on disk up to date")
    rebuild.add_argument("--reports", type=Path, default=Path("reports"), help="folder of figures and plots")
    rebuild.add_argument("--data", type=Path, default=Path("data"), help="folder of tables, models and the bundle")
    rebuild.add_argument("--lock", type=Path, default=Path("dvc.lock"), help="the lock file of DVC")
    rebuild.add_argument("--params", type=Path, default=Path("params.yaml"), help="the parameters")
    register = actions.add_parser("register", help="add a bundle, such as one that `recalibrate` wrote")
    register.add_argument("bundle", type=Path, metavar="BUNDLE", help="its folder, or a .drbundle file")
    download = actions.add_parser("download", help="write the bundle of a version")
    download.add_argument("version", metavar="VERSION", help="a version number, or an alias such as champion")
    download.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")


def run(args: argparse.Namespace) -> Outcome:
    """Does what was asked for.

    Raises:
        DataError: See `rebuild`, `register_bundle` and `download_version`.
        BundleError: A bundle is damaged.
        EnvironmentProblem: The server is away.
    """
    return {"rebuild": _rebuild, "register": _register, "download": _download}[args.action](args)


def _register(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.tracking.register_bundle import register_bundle
    from dr_pipeline.tracking.store import Store, files_root

    done = register_bundle(Store(files_root(Path.cwd())), args.bundle)
    text = f"bundle {done.bundle_id} is version {done.version}" + ("" if done.is_new else ", as before")
    text += f", child of version {done.parent}" if done.parent else ""
    return Outcome((), f"{text}. {RESEARCH_USE}", f"dr-pipeline promote {done.version}")


def _download(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.tracking.store import Store, files_root
    from dr_pipeline.tracking.versions import download_version

    version = download_version(Store(files_root(Path.cwd())), args.version, args.out)
    text = f"version {version.version}, bundle {version.tags['bundle_id']}. {RESEARCH_USE}"
    return Outcome((args.out,), text, f"dr-pipeline verify {shell_word(args.out)}")


def _rebuild(args: argparse.Namespace) -> Outcome:
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
        next_command=f"open {shell_word(place)}" if is_remote(store.uri) else "mlflow ui",
    )
