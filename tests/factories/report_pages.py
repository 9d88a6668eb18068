"""The pages of the largest report: 400 photographs with hostile names, all of them missed."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from dr_pipeline.evaluation.graded_images import Graded
from dr_pipeline.reporting import checklists
from dr_pipeline.reporting.cases_page import MAX_PICTURES, Case
from dr_pipeline.reporting.contact_sheet import contact_sheet
from dr_pipeline.reporting.report_page import render
from dr_pipeline.reporting.thumbnails import encode_jpeg
from tests.factories.drawings import draw_fundus
from tests.factories.reports import images, sources

PHOTOGRAPHS = 400


def write_pages(folder: Path) -> list[Path]:
    """Writes index.html, in which proliferative disease was called none on every photograph, and checklists.html."""
    names = tuple(f"photo-{number:03d}<script>alert(1)</script>" for number in range(PHOTOGRAPHS))
    zeros = np.zeros(PHOTOGRAPHS)
    graded = Graded(names, np.full(PHOTOGRAPHS, 4), zeros.astype(np.int64), zeros + 0.3, zeros + 0.1)
    hostile = '<img src="https://example.org/x">'
    shown = replace(sources(warnings=(f"a warning {hostile}",), adapter=hostile), graded=graded)
    canvases = [draw_fundus(256, 256, 128, 128, 110, seed=number) for number in range(12)]
    sheet = contact_sheet(canvases, ["readers 4, bundle 0.3"] * 12, columns=6, side_px=160)
    pictures = [encode_jpeg(canvas) for canvas in canvases]
    cases = [
        Case(name, 4, 0, (), "0.50", *(2 * (pictures[row % 12],) if row < MAX_PICTURES else ()))
        for row, name in enumerate(names)
    ]
    pages = {
        "index.html": render(shown, images() | {"misses": sheet}, cases),
        "checklists.html": checklists.render(shown),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in pages]
