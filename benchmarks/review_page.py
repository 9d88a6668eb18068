"""How fast the review page of a large batch is in a browser: first paint, filters, the next full picture.

python -m benchmarks.review_page --out reports/benchmarks/review_page.json [--photographs FOLDER]

Thumbnails and full pictures are of drawn photographs (20 different ones, under a name for each row). Each run starts a
new browser with an empty profile and opens the page from disk; the files may be in the system's cache. With
--photographs, the making of pictures is timed too, in one process.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dr_pipeline.clinic.review.make_review import DEFAULT_FULL_PX, make_review
from dr_pipeline.clinic.review.page import open_folder
from dr_pipeline.clinic.review.pictures import PictureJob, Pictures
from dr_pipeline.files import sha256_bytes, sha256_file, write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import list_entries
from dr_pipeline.tables.predictions import PredictionRow, write_predictions
from tests.factories.drawings import draw_fundus, jpeg
from tests.factories.review_pages import browser, prediction

_DRAWN = 20
_TIMED = 40
_SIDE_PX = 2200
FIRST_PAINT_BAR_S, FILTER_BAR_MS = 2.0, 200
# From the start of navigation to the first paint, and to the paint in which every thumbnail in view is loaded.
_FIRST_PAINT = """async () => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const isInView = (img) => img.getBoundingClientRect().top < innerHeight;
  const inView = () => [...document.querySelectorAll("#grid img")].filter(isInView);
  while (!inView().length || !inView().every((img) => img.complete)) await painted();
  await painted();
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  return [paint.startTime, performance.now()];
}"""
# From the change of a filter to the next paint, which shows its result.
_FILTER = """async ([id, value]) => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  await painted();
  const start = performance.now(), field = document.getElementById(id);
  field.value = value;
  field.dispatchEvent(new Event(id === "search" ? "input" : "change"));
  await painted();
  return performance.now() - start;
}"""
_NEXT = """async () => {
  const start = performance.now();
  document.getElementById("next").click();
  while (!picture.isLoaded) await new Promise((done) => requestAnimationFrame(done));
  return performance.now() - start;
}"""
_FILTERS = (
    *(("status", "scored"), ("status", ""), ("grade", "2"), ("grade", ""), ("person", "yes"), ("person", "")),
    *(("quality", "2"), ("quality", ""), ("uncertainty", "3"), ("uncertainty", ""), ("site", "=south"), ("site", "")),
    *(("review", "open"), ("review", ""), ("search", "eye49"), ("search", "")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--photographs", type=Path, help="a folder of photographs: times the making of 40 pictures")
    parser.add_argument("--out", type=Path, help="report (JSON)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        page = make_page(Path(scratch), args.rows)
        with browser() as chromium:
            version = chromium.version
        report: dict[str, Any] = {
            "rows": args.rows,
            "data_bytes": (page.parent / "data.js").stat().st_size,
            "browser": f"Chromium {version}",
            **in_browser(page, args.runs),
            "bars": {"first_paint_ms": 1000 * FIRST_PAINT_BAR_S, "filter_ms": FILTER_BAR_MS},
            "machine": describe_machine(),
        }
        if args.photographs:
            report["pictures"] = making(args.photographs, Path(scratch) / "made")
    if args.out:
        write_json(args.out, report)
    print(json.dumps(report, indent=2))


def make_page(root: Path, count: int) -> Path:
    """A page of `count` rows, the pictures of which are there."""
    rows = [row(number) for number in range(count)]
    write_predictions(root / "p.csv", rows)
    pictures = Pictures(open_folder(root / "out"), DEFAULT_FULL_PX)
    for number, each in enumerate(rows):
        if number < _DRAWN:
            data = jpeg(draw_fundus(_SIDE_PX, _SIDE_PX, _SIDE_PX / 2, _SIDE_PX / 2, _SIDE_PX / 2.1, seed=number))
            (root / "photograph.jpg").write_bytes(data)
            drawn = sha256_bytes(data)
            pictures.make(PictureJob(Entry("photograph.jpg", str(root / "photograph.jpg")), drawn))
            for made, name in zip(pictures.names(drawn), pictures.names(each.sha256), strict=True):
                (pictures.folder / made).rename(pictures.folder / name)
            continue
        thumbnail, full = (pictures.folder / name for name in pictures.names(each.sha256))
        drawn_thumbnail, drawn_full = pictures.names(rows[number % _DRAWN].sha256)
        shutil.copyfile(pictures.folder / drawn_thumbnail, thumbnail)
        os.link(pictures.folder / drawn_full, full)
    review = make_review(root / "p.csv", root / "out")
    if review.kept != count:
        raise RuntimeError(f"{review.kept} of {count} photographs have pictures")
    return review.page


def row(number: int) -> PredictionRow:
    changes: dict[str, Any] = {"quality": number % 97 / 97, "site": ("north", "south", "east")[number % 3]}
    changes |= {"patient_id": f"P{number // 4:05d}", "reason": "low_score" if number % 9 == 0 else ""}
    if number % 9:
        changes |= {"grade": number * 7 % 5, "top": 0.25 + number % 75 / 100, "needs_human": number % 6 == 0}
    return prediction(f"eye{number}", **changes)


def in_browser(page: Path, runs: int) -> dict[str, Any]:
    first, complete, filters, computing, following = [], [], [], [], []
    for _ in range(runs):
        with browser() as chromium:
            window = chromium.new_page(viewport={"width": 1440, "height": 900})
            window.goto(page.as_uri(), wait_until="commit")
            paint, thumbnails = window.evaluate(_FIRST_PAINT)
            first.append(paint)
            complete.append(thumbnails)
            session = window.context.new_cdp_session(window)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            for change in _FILTERS:
                before = main_thread_s(session)
                filters.append(window.evaluate(_FILTER, list(change)))
                computing.append(1000 * (main_thread_s(session) - before))
            window.click("#start")
            window.wait_for_timeout(500)
            following += [window.evaluate(_NEXT) for _ in range(5)]
    return {
        "first_paint_ms": summary(first),
        "thumbnails_in_view_ms": summary(complete),
        "filter_ms": summary(filters),
        "filter_main_thread_ms": summary(computing),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "next_full_picture_ms": summary(following),
    }


def main_thread_s(session: Any) -> float:
    """Computing time of the page's main thread so far, which other programs on the machine do not lengthen much."""
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def making(folder: Path, out: Path) -> dict[str, Any]:
    """Times of making the pictures of 40 photographs in this process."""
    pictures, times = Pictures(out, DEFAULT_FULL_PX), []
    for entry in list_entries((str(folder),))[:_TIMED]:
        job = PictureJob(entry, sha256_file(Path(entry.location)))
        start = time.perf_counter()
        if fault := pictures.make(job):
            raise RuntimeError(f"{entry.relative}: {fault}")
        times.append(1000 * (time.perf_counter() - start))
    size = sum(path.stat().st_size for path in out.iterdir())
    return {"full_px": DEFAULT_FULL_PX, "ms": summary(times), "bytes_each": size // len(times)}


def summary(times: Iterable[float]) -> dict[str, float]:
    """Median with its range, the 95th percentile, and their number."""
    ordered = sorted(times)
    return {
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 1),
        "min": round(ordered[0], 1),
        "max": round(ordered[-1], 1),
        "n": len(ordered),
    }


if __name__ == "__main__":
    main()
