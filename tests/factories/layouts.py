"""Small data sets on disk for the intake's tests. Their photographs are a few bytes: intake never decodes."""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dr_pipeline.params.data_source import Dataset
from dr_pipeline.params.section import validate

COLUMNS = {
    "image": "image",
    "grade": "grade",
    "patient": "",
    "eye": "",
    "visit": "",
    "site": "",
    "camera": "",
    "grader": "",
    "part": "",
    "ungradable": "",
}


def dataset(
    adapter: str,
    *,
    labels: str = "",
    pattern: str = "",
    datalist: str = "",
    values: Mapping[str, Any] | None = None,
    ignore: Sequence[str] = (),
    follow_links: bool = False,
    **columns: str,
) -> Dataset:
    """The section `dataset` as params.yaml would give it; `values` are those of dataset.folder that are not empty."""
    value: dict[str, Any] = {
        "adapter": adapter,
        "root": "unused",
        "pseudonym_salt": "salt",
        "ignore": list(ignore),
        "follow_links": follow_links,
        "folder": {
            "labels": labels,
            "columns": {**COLUMNS, **columns},
            "values": {"grade": {}, "eye": {}, "part": {}, "ungradable": [], **(values or {})},
            "name_pattern": pattern,
            "provenance": {"name": "clinic folder", "licence": "the owner's", "citation": ""},
        },
        "datalist": datalist,
    }
    return validate(value, Dataset, where="test")


def photograph(path: Path, content: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((content or path.as_posix()).encode())
    return path


def photographs(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        photograph(folder / name)


def table(path: Path, header: str, rows: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def aptos(root: Path, rows: Sequence[str], files: Iterable[str]) -> Path:
    table(root / "train.csv", "id_code,diagnosis", rows)
    photographs(root / "train_images", files)
    return root


def eyepacs(root: Path, *, train: Sequence[str], test: Sequence[str] = ()) -> Path:
    """`train` and `test` are the tables' rows; each has its photograph."""
    for folder, name, header, rows in (
        ("train", "trainLabels.csv", "image,level", train),
        ("test", "retinopathy_solution.csv", "image,level,Usage", test),
    ):
        if rows:
            table(root / name, header, rows)
            photographs(root / folder, [f"{row.split(',')[0]}.jpeg" for row in rows])
    return root


def messidor2(root: Path, *, names: Sequence[str], rows: Sequence[str], pairs: Sequence[str] = ()) -> Path:
    photographs(root / "IMAGES", names)
    table(root / "messidor_data.csv", "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable", rows)
    if pairs:
        table(root / "messidor-2.csv", "left;right", pairs)
    return root


def ddr(root: Path, **parts: Sequence[str]) -> Path:
    """`parts`: the lines of train.txt, valid.txt and test.txt; each has its photograph."""
    for part in ("train", "valid", "test"):
        lines = parts.get(part, [f"{part}-0001-000.jpg 0"])
        table(root / "DR_grading" / f"{part}.txt", lines[0], lines[1:])
        photographs(root / "DR_grading" / part, [line.split()[0] for line in lines])
    return root


def deepdrid(root: Path, *, training: Sequence[str], validation: Sequence[str], sites: Sequence[str] = ()) -> Path:
    """Rows are patient_id,image_id,left,right; the other columns are filled as the repository has them."""
    base = root / "regular_fundus_images"
    for part, rows in (("training", training), ("validation", validation)):
        folder = base / f"regular-fundus-{part}"
        cells = [row.split(",") for row in rows]
        table(
            folder / f"regular-fundus-{part}.csv",
            "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level,"
            "Clarity,Field definition,Artifact",
            [f"{p},{i},\\regular-fundus-{part}\\{p}\\{i}.jpg,0,{left},{right},0,8,8,4" for p, i, left, right in cells],
        )
        photographs(folder / "Images", [f"{patient}/{image}.jpg" for patient, image, _, _ in cells])
    if sites:
        table(
            base / "regular-fundus-training" / "regular-fundus-source-training.csv",
            "patient_id,image_id,image_path,Source",
            sites,
        )
    return root


def workbook(path: Path, rows: Sequence[Sequence[str | int]] = (), *, sheet: str | bytes = "") -> Path:
    """An .xlsx file as Excel writes it: texts in a table of their own, numbers in place; `sheet` replaces its XML."""
    texts = sorted({cell for row in rows for cell in row if isinstance(cell, str)})
    schema = "http://schemas.openxmlformats.org"
    main, relations = f"{schema}/spreadsheetml/2006/main", f"{schema}/officeDocument/2006/relationships"

    def xml(cell: str | int, where: str) -> str:
        kind, value = (' t="s"', texts.index(cell)) if isinstance(cell, str) else ("", cell)
        return f'<c r="{where}"{kind}><v>{value}</v></c>'

    lines = [
        f'<row r="{y}">' + "".join(xml(cell, f"{'ABCDEF'[x]}{y}") for x, cell in enumerate(row)) + "</row>"
        for y, row in enumerate(rows, start=1)
    ]
    kinds = {"workbook": "sheet.main", "worksheets/sheet1": "worksheet", "sharedStrings": "sharedStrings"}
    overrides = "".join(
        f'<Override PartName="/xl/{part}.xml" '
        f'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.{kind}+xml"/>'
        for part, kind in kinds.items()
    )

    def links(*targets: tuple[str, str]) -> str:
        items = (
            f'<Relationship Id="r{number}" Type="{relations}/{kind}" Target="{target}"/>'
            for number, (kind, target) in enumerate(targets)
        )
        return f'<Relationships xmlns="{schema}/package/2006/relationships">{"".join(items)}</Relationships>'

    members = {
        "[Content_Types].xml": f'<Types xmlns="{schema}/package/2006/content-types">{overrides}</Types>',
        "_rels/.rels": links(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>'
        '<sheet name="Sheet1" sheetId="1" r:id="r0"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": links(
            ("worksheet", "worksheets/sheet1.xml"), ("sharedStrings", "sharedStrings.xml")
        ),
        "xl/worksheets/sheet1.xml": sheet
        or f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">{"".join(f"<si><t>{text}</t></si>" for text in texts)}</sst>',
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path
