"""The report in a browser: its size, what it asks of the network, errors, and what axe-core finds, at two widths.

python -m benchmarks.report_page --out reports/benchmarks/report_page.json [--page reports/index.html] [--shots FOLDER]

Without --page the report of 400 drawn photographs, all of them missed, is made: the largest that a run could write.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe

from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine
from tests.factories.report_pages import PHOTOGRAPHS, write_pages
from tests.factories.review_pages import browser

WIDTHS = (390, 1440)
MAX_BYTES = 5_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, nargs="+", help="pages that are there")
    parser.add_argument("--shots", type=Path, help="folder for pictures of the pages")
    parser.add_argument("--out", type=Path, help="report (JSON)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, browser() as chromium:
        pages = args.page or write_pages(Path(scratch))
        report = {
            "photographs": "of the pages given" if args.page else PHOTOGRAPHS,
            "browser": f"Chromium {chromium.version}",
            "pages": {path.name: in_browser(chromium, path.resolve(), args.shots) for path in pages},
            "bars": {"bytes": MAX_BYTES, "requests": 0, "errors": 0, "serious": 0},
            "machine": describe_machine(),
        }
    if args.out:
        write_json(args.out, report)
    print(json.dumps(report, indent=2))


def in_browser(chromium: Any, path: Path, shots: Path | None) -> dict[str, Any]:
    """What the page does at each width."""
    found: dict[str, Any] = {"bytes": path.stat().st_size}
    for width in WIDTHS:
        page = chromium.new_page(viewport={"width": width, "height": 900})
        requests: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request, to=requests: to.append(request.url))
        page.on("console", lambda message, to=errors: to.append(message.text))
        page.on("pageerror", lambda error, to=errors: to.append(str(error)))
        page.goto(path.as_uri())
        violations = Axe().run(page).response["violations"]
        found[f"{width} px"] = {
            "requests": sum(not url.startswith(("file:", "data:")) for url in requests),
            "errors": len(errors),
            "wider_than_the_window": page.evaluate("document.documentElement.scrollWidth > innerWidth"),
            "axe": {each["id"]: each["impact"] for each in violations},
            "serious": sum(each["impact"] in ("serious", "critical") for each in violations),
        }
        if shots:
            shots.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=shots / f"{path.stem}-{width}.png", full_page=True)
        page.close()
    return found


if __name__ == "__main__":
    main()
