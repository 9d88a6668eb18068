"""Prints the report as PDF, A4, with a Chromium or Chrome that is installed; nothing is sent anywhere.

python examples/05_report_as_pdf.py reports/index.html --out report.pdf
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--browser", default=next(filter(None, map(shutil.which, BROWSERS)), ""), help="path of Chromium"
    )
    parser.add_argument("--no-sandbox", action="store_true", help="where it runs as root, as in a container")
    args = parser.parse_args()
    if not args.browser:
        parser.error("no Chromium on PATH: install the package chromium, or give --browser PATH")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            args.browser,
            "--headless",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            f"--user-data-dir={profile}",
            "--no-pdf-header-footer",
            f"--print-to-pdf={args.out.resolve()}",
            *(["--no-sandbox"] if args.no_sandbox else []),
            args.page.resolve().as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
