"""Reads a bundle; it is used only after its hashes, its version and its self-test are verified."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.bundle_files import GOLDEN, METADATA, MODEL
from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.golden import Golden
from dr_pipeline.bundle.identity import parse_metadata
from dr_pipeline.bundle.metadata import identify
from dr_pipeline.bundle.onnx_content import require_self_contained
from dr_pipeline.bundle.session import FLOAT32, Device, OnnxModel
from dr_pipeline.bundle.verify import verified_content
from dr_pipeline.bundle_storage import COPY_AGAIN
from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.thresholds import Gradability


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files that score match SHA256SUMS and whose self-test passed.

    Attributes:
        root: Its folder, or its `.drbundle` file.
        bundle_id: 16 hexadecimal digits over network, pixel path, decision and thresholds.
        metadata: metadata.json.
        pixel_path: From the bytes of a file to a canvas.
        decision: From logits to a grade.
        gradability: Quality thresholds.
        model: The network, loaded from the bytes that were hashed.
        golden_difference: The largest difference of a probability in the self-test.
    """

    root: Path
    bundle_id: str
    metadata: dict[str, Any]
    pixel_path: PixelPath
    decision: Decision
    gradability: Gradability
    model: OnnxModel
    golden_difference: float


def read_bundle(root: Path, *, threads: int, device: Device = Device.CPU) -> Bundle:
    """Reads, verifies and self-tests a bundle.

    The checksums detect damage and mix-ups. They are no signature: who can write the folder can also rewrite them; see
    `signature`. weights.safetensors must exist but is not hashed, since scoring does not use it: see `verify`.

    Args:
        root: The bundle: its folder, or a `.drbundle` file.
        threads: Threads inside one operator of the network.
        device: Where the network runs.

    Raises:
        EnvironmentProblem: There is no such device.
        BundleError: A file is missing, unknown or altered; the schema version is another; the network would read files
            or run operators that are not its own; the self-test fails.
    """
    content = verified_content(root)
    where = str(root / METADATA)
    metadata = parse_metadata(content[METADATA], where=where)
    try:
        pixel_path = PixelPath.from_dict(metadata["preprocessing"]["pixel_path"])
        decision = Decision.from_dict(metadata["decision"])
        gradability = Gradability.from_dict(metadata["gradability"])
        input_px, stated_id = metadata["model"]["input_px"], metadata["bundle_id"]
        precision = metadata["model"].get("precision", FLOAT32)
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"an entry is missing or malformed: {error}", where=where, todo=COPY_AGAIN) from None
    if stated_id != identify(sha256_bytes(content[MODEL]), pixel_path, decision, gradability):
        raise BundleError("bundle_id does not follow from model, pixel path, decision and thresholds", where=where)
    require_self_contained(content[MODEL], where=str(root / MODEL))
    model = OnnxModel(content[MODEL], threads=threads, device=device)
    if model.input_px != input_px:
        raise BundleError(f"input_px is {input_px}, but the model takes {model.input_px}", where=where)
    if model.precision != precision:
        raise BundleError(f"precision is {precision!r}, but the model states {model.precision!r}", where=where)
    golden = Golden.from_bytes(content[GOLDEN], where=str(root / GOLDEN))
    difference = golden.replay(model, decision, where=str(root))
    return Bundle(root, stated_id, metadata, pixel_path, decision, gradability, model, difference)
