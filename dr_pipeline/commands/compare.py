"""Compares a new grader with the old one on the same photographs, for change control.

OLD and NEW are two bundles, with --photographs and --labels, or the predictions of their tests, such as
data/test_predictions.csv. Writes comparison.json, changed.csv and index.html: for each endpoint the paired difference
with its interval by patient, McNemar's tests, the photographs whose answer changed, and a verdict by the margins.
Exit code 0: not inferior; 1: inferior, or not shown by these photographs; 2: an error.
Research use only. Not a medical device.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dr_pipeline.commands.engine_arguments import add_engine_arguments, engine_choice
from dr_pipeline.commands.graded_arguments import add_graded_arguments, graded_files
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome, shell_word

if TYPE_CHECKING:
    from dr_pipeline.evaluation.paired_answers import PairedAnswers

_CONFIDENCE = 0.95
_NO_MARGIN = "none"
_BUNDLE_FILE, _ZIP = ".drbundle", b"PK\3\4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("old", type=Path, metavar="OLD", help="the grader in use: a bundle, or a table of its test")
    parser.add_argument("new", type=Path, metavar="NEW", help="the grader that may replace it, of the same kind")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--margin",
        type=_margin,
        action="append",
        default=[],
        metavar="ENDPOINT=VALUE",
        help="how much worse an endpoint may be, such as qwk=0.03, or none: shown only; may be repeated "
        "(defaults: docs/how-to/compare-and-validate.md)",
    )
    add_graded_arguments(parser, required=False)
    parser.add_argument(
        "--pictures", action="store_true", help="show changed photographs in the page; tables need --canvases too"
    )
    parser.add_argument("--canvases", type=Path, metavar="DIR", help="data/canvases, for the pictures of tables")
    add_engine_arguments(parser)


@dataclass(frozen=True)
class _Graders:
    """What is compared, as the command found it."""

    pair: "PairedAnswers"
    old: dict[str, str]
    new: dict[str, str]
    jpeg: Callable[[str], bytes] | None


def run(args: argparse.Namespace) -> Outcome:
    """Reads or scores, compares, writes.

    Raises:
        DataError: The two are not of one kind or not of the same photographs, or a table cannot be used.
        BundleError: A bundle fails its checks.
        ParamsError: A margin is none.
    """
    from dr_pipeline.evaluation.comparison import declared_margins
    from dr_pipeline.evaluation.comparison_report import compare_pair
    from dr_pipeline.logs import logger
    from dr_pipeline.reporting.comparison_page import write_comparison

    margins = declared_margins(dict(args.margin))
    graders = _graders(args)
    for warning in graders.pair.warnings:
        logger.warning("%s", warning)
    drawn: Any = {"replicates": args.replicates, "seed": args.seed, "confidence": _CONFIDENCE}
    comparison = compare_pair(graders.pair, margins, drawn, old=graders.old, new=graders.new)
    wrote = write_comparison(args.out, comparison, graders.jpeg)
    return Outcome(
        wrote=wrote,
        headline="\n  ".join(comparison.lines()) + f"\n{RESEARCH_USE}",
        next_command=f"open {shell_word(wrote[-1])}",
        exit_code=0 if comparison.passed else 1,
    )


def _graders(args: argparse.Namespace) -> _Graders:
    from dr_pipeline.errors import DataError

    are_bundles = [_is_bundle(path) for path in (args.old, args.new)]
    if are_bundles[0] != are_bundles[1]:
        raise DataError(
            "one is a bundle and the other is not",
            where=f"{args.old}, {args.new}",
            todo="compare two bundles, or the predictions of two tests",
        )
    return _bundles(args) if are_bundles[0] else _tables(args)


def _is_bundle(path: Path) -> bool:
    """A folder or a packed bundle, whatever its name is: a zip begins so, and no table does."""
    if not path.is_file():
        return path.is_dir() or path.suffix == _BUNDLE_FILE
    with path.open("rb") as stream:
        return stream.read(len(_ZIP)) == _ZIP


def _tables(args: argparse.Namespace) -> _Graders:
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.errors import DataError
    from dr_pipeline.evaluation.paired_answers import read_paired_tables
    from dr_pipeline.files import printable, read_csv_header, sha256_file
    from dr_pipeline.reporting.thumbnails import encode_jpeg

    if args.photographs or args.labels or args.splits or args.limit or args.site:
        raise DataError(
            "--photographs, --labels, --splits, --limit and --site are for bundles",
            where="compare",
            todo="leave them out: the tables have the photographs' grades",
        )
    if args.pictures and not args.canvases:
        raise DataError("--pictures of tables needs --canvases", where="compare", todo="such as data/canvases")
    for path in filter(Path.is_file, (args.old, args.new)):
        header = read_csv_header(path)
        if "status" in header and "group" not in header:
            raise DataError(
                "a table that `score` wrote, which has no grades of readers",
                where=printable(path),
                todo="compare the two bundles on --photographs with --labels, or give the predictions of `test`",
            )
    pair = read_paired_tables(args.old, args.new)
    store = CanvasStore(args.canvases) if args.pictures else None
    old, new = ({"name": printable(path), "id": sha256_file(path)} for path in (args.old, args.new))
    return _Graders(pair, old, new, (lambda image_id: encode_jpeg(store.read(image_id))) if store else None)


def _bundles(args: argparse.Namespace) -> _Graders:
    from dr_pipeline.bundle.read import read_bundle
    from dr_pipeline.deployment.paired_scores import score_pair
    from dr_pipeline.errors import DataError, ImageError
    from dr_pipeline.files import printable
    from dr_pipeline.fundus.decode import read_image_file
    from dr_pipeline.reporting.thumbnails import encode_jpeg

    if not (args.photographs and args.labels):
        raise DataError(
            "two bundles need photographs with grades to be compared on",
            where="compare",
            todo="give --photographs and --labels, or the predictions of their tests in place of the bundles",
        )
    old, new = (read_bundle(path, threads=1) for path in (args.old, args.new))
    files = graded_files(args)
    pair = score_pair(old, new, args.photographs, files, site=args.site, engine=engine_choice(args))

    def jpeg(image_id: str) -> bytes:
        try:
            data = read_image_file(args.photographs / image_id)
            return encode_jpeg(old.pixel_path.process(data, find_text=False).canvas)
        except ImageError:  # a changed photograph may be one that no picture can be made of
            return b""

    first, second = ({"name": printable(bundle.root), "id": bundle.bundle_id} for bundle in (old, new))
    return _Graders(pair, first, second, jpeg if args.pictures else None)


def _margin(text: str) -> tuple[str, float | None]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"ENDPOINT=VALUE is needed, such as qwk=0.03, not {text!r}")
    if value == _NO_MARGIN:
        return name, None
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number or {_NO_MARGIN} is needed, not {value!r}") from None
