"""Golden records: what is kept of a file, and how two records are compared.

JSON is compared by key, CSV by column (and by cell while the recorded files exist), tar archives by member, safetensors
by tensor and metadata, HTML by its text and its embedded pictures, Markdown by its text and its numbers, and every
other format by its bytes.
"""

import csv
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

# Shell patterns of artefact and part (JSON key, column, tensor; "": the artefact as a whole), and why it may differ.
DECLARED: tuple[tuple[str, str, str], ...] = (
    ("*/data/code/*", "", "code versions"),
    ("*/canvases/shard-*.json", "key", "hash over the code that renders"),
    ("*.html", "text", "wording"),
    ("*/index.html", "pictures", "the title of the rejection plot"),
    ("*/metadata.json", "version", "version of the package"),
    ("*/metadata.json", "changelog.*", "version of the package"),
    ("*/SHA256SUMS", "metadata.json", "version of the package"),
    ("*/MODEL_CARD.md", "text", "wording"),
    ("*/SHA256SUMS", "MODEL_CARD.md", "wording of the card"),
    ("*/intake.json", "warnings.*", "wording"),
    ("*/reports/training/*.json", "*.seconds", "time"),
    ("*/reports/training/*.json", "*.images_per_s", "time"),
    ("*/reports/training/*.csv", "seconds", "time"),
    ("*/reports/training/*.csv", "images_per_s", "time"),
    ("*/reports/latency/*.json", "*_ms", "time"),
    ("*/reports/latency/*.json", "*.steps_ms.*", "time"),
    ("*openings.jsonl", "*.utc", "date"),
    ("*/reports/split.json", "asked.straddling", "the parameter is now on_group_conflict"),
    ("*/reports/split.json", "asked.on_group_conflict", "the parameter was straddling"),
)
NUMBER = r"\d+(?:\.\d+)?"
PICTURE = r"data:image/[^\"]*"
SHOWN = 4  # differences listed for each artefact
ABSENT = "absent"

Document = dict[str, Any]
Entry = Mapping[str, Any]  # sha256, size, and parts: a digest or value for each


def describe(path: Path) -> Entry:
    data = path.read_bytes()
    return {"sha256": sha256(data), "size": len(data), "parts": parts_of(path.suffix or path.name, data)}


def describe_photographs(folder: Path) -> Entry:
    """A folder as one artefact, a part for each file."""
    parts = {path.name: sha256(path.read_bytes()) for path in sorted(folder.iterdir())}
    return {"sha256": sha256(json.dumps(parts).encode()), "size": len(parts), "parts": parts}


def parts_of(suffix: str, data: bytes) -> Mapping[str, Any]:
    """Digests or values by JSON key, column, archive member or tensor; empty for other formats."""
    match suffix:
        case ".json":
            return dict(leaves(json.loads(data)))
        case ".jsonl":
            return dict(leaves([json.loads(line) for line in data.splitlines()]))
        case ".csv":
            return {name: sha256("\0".join(cells).encode()) for name, cells in columns(data).items()}
        case ".tar":
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                members = [(member, archive.extractfile(member)) for member in archive]
                return {member.name: sha256(stream.read()) for member, stream in members if stream}
        case ".safetensors":
            return dict(tensors(data))
        case "SHA256SUMS":
            return {name: digest for digest, name in (line.split(maxsplit=1) for line in data.decode().splitlines())}
        case ".md":
            return {"text": sha256(data), "numbers": re.findall(NUMBER, data.decode())}
        case ".html":
            text = re.sub(PICTURE, "", data.decode())
            return {
                "text": sha256(text.encode()),
                "pictures": [sha256(m.encode()) for m in re.findall(PICTURE, data.decode())],
            }
        case _:
            return {}


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a JSON document, in its order."""
    if isinstance(value, (dict, list)) and value:
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def columns(data: bytes) -> dict[str, list[str]]:
    header, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    return {name: [row[position] for row in rows] for position, name in enumerate(header)}


def tensors(data: bytes) -> Iterator[tuple[str, str]]:
    """Each metadata value, and a digest of each tensor with its type and shape."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    yield from leaves(header.pop("__metadata__", {}), "metadata")
    for name, tensor in header.items():
        first, end = tensor["data_offsets"]
        yield name, f"{tensor['dtype']} {tensor['shape']} {sha256(data[start + first : start + end])}"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def compare(before: Document, after: Document) -> int:
    """Prints every artefact; returns 1 if an undeclared difference exists, else 0."""
    if before["environment"] != after["environment"]:
        print(f"NOTE: the environments differ: {before['environment']} → {after['environment']}")
    old, new = before["artefacts"], after["artefacts"]
    failures = 0
    for name in sorted({*old, *new}):
        differences = list(differing(old.get(name), new.get(name)))
        undeclared = [(part, text) for part, text in differences if not reason(name, part)]
        failures += bool(undeclared)
        print(f"{'DIFFERS' if undeclared else 'declared' if differences else 'equal':9}{name}")
        shown = undeclared or differences
        for part, text in shown[:SHOWN]:
            print(f"         {part or 'whole'}: {reason(name, part) or text + cells(before, after, name, part)}")
        if len(shown) > SHOWN:
            print(f"         … {len(shown)} in all")
    print(f"{len({*old, *new})} artefacts, {failures} with undeclared differences")
    return min(failures, 1)


def differing(old: Entry | None, new: Entry | None) -> Iterator[tuple[str, str]]:
    """The parts that differ, each with a short text; part "" where the artefact differs as a whole."""
    if old is None or new is None:
        yield "", "only in the second record" if old is None else "only in the first record"
        return
    if old["sha256"] == new["sha256"]:
        return
    before, after = old["parts"], new["parts"]
    names = [name for name in {**before, **after} if before.get(name, ABSENT) != after.get(name, ABSENT)]
    yield from ((name, f"{before.get(name, ABSENT)!s:.70} → {after.get(name, ABSENT)!s:.70}") for name in names)
    if before.keys() == after.keys() and list(before) != list(after):
        yield "", "the order of its parts"
    elif not names:
        yield "", f"bytes ({old['size']} → {new['size']})"


def reason(artefact: str, part: str) -> str | None:
    """Why a difference is allowed; None if it is not. A pattern without a part allows the whole artefact."""
    for artefacts, parts, why in DECLARED:
        if fnmatchcase(artefact, artefacts) and (not parts or (part and fnmatchcase(part, parts))):
            return why
    return None


def cells(before: Document, after: Document, name: str, column: str) -> str:
    """The first cells that differ in a column, if both recorded tables still exist."""
    paths = [Path(document.get("work", ABSENT)) / name for document in (before, after)]
    if not name.endswith(".csv") or not all(path.is_file() for path in paths):
        return ""
    pairs = zip(*(columns(path.read_bytes()).get(column, []) for path in paths), strict=False)
    lines = [f"; line {line}: {old!r} → {new!r}" for line, (old, new) in enumerate(pairs, 2) if old != new]
    return "".join(lines[:SHOWN])


def load(path: Path) -> Document:
    document: Document = json.loads(path.read_text(encoding="utf-8"))
    return document


def write(path: Path, document: Document) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {path}")
