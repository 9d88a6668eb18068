"""metadata.json: the bundle's description of itself.

A superset of MONAI's bundle metadata (docs.monai.io, "MONAI Bundle Specification"): `monai.bundle verify_metadata`
accepts it by the schema that it names, and tools which know that format find name, version, versions of libraries,
intended use and `network_data_format` in their places.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dr_pipeline import __version__
from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.session import FLOAT32
from dr_pipeline.files import sha256_json
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.thresholds import Gradability
from dr_pipeline.metrics.intervals import is_estimate
from dr_pipeline.schema import BUNDLE_VERSION, GRADE_NAMES, GRADES, NUM_GRADES, RESEARCH_USE

# The newest published one (Apache-2.0); MONAI's check would download it from here, nothing of this package does.
MONAI_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
_ID_DIGITS = 16
PIXEL_DIGITS = 16  # of a pixel hash: a million photographs then have equal ones with a probability of 3e-8
_MODEL_FACTS = (
    "model",
    "family",
    "parameters",
    "input_px",
    "network",
    "loss",
    "weights",
    "candidate",
    "fold",
    "ensemble",
    "parity",
)

_RUNTIME = ("numpy", "onnxruntime", "opencv-python-headless", "pydicom", "python-gdcm", "simplejpeg", "tifffile")
# Packages whose versions metadata.json states: those scoring needs, and those that made the network.
PACKAGES = (*_RUNTIME, "monai", "torch")

INTENDED_USE = (
    f"{RESEARCH_USE} Grades diabetic retinopathy on the International Clinical Diabetic Retinopathy scale (0-4) in "
    "colour fundus photographs of the kind it was trained and validated on. Ungradable photographs get no grade and go "
    "to a human reader. Not for diagnosis, not for treatment decisions, not for other diseases, not for other kinds of "
    "pictures."
)
REFERENCES = (
    "Wilkinson CP et al. Proposed international clinical diabetic retinopathy and diabetic macular edema disease "
    "severity scales. Ophthalmology 2003;110:1677-1682.",
    "Tan M, Le QV. EfficientNet: rethinking model scaling for convolutional neural networks. ICML 2019.",
)


def identify(model_sha256: str, pixel_path: PixelPath, decision: Decision, gradability: Gradability) -> str:
    """The bundle's id: 16 hexadecimal digits over all that determines a grade.

    That is the network's bytes, the pixel path, the decision and the quality thresholds. The id stands inside
    metadata.json, so it cannot cover that file itself; SHA256SUMS does. Equal ids mean equal grades.
    """
    parts = {
        "model": model_sha256,
        "pixel_path": pixel_path.to_dict(),
        "decision": decision.to_dict(),
        "gradability": gradability.to_dict(),
    }
    return sha256_json(parts)[:_ID_DIGITS]


def build_metadata(
    *,
    model_sha256: str,
    pixel_path: PixelPath,
    decision: Decision,
    gradability: Gradability,
    export: Mapping[str, Any],
    validation: Mapping[str, Any],
    latency: Mapping[str, Any],
    versions: Mapping[str, str],
    development_pixels: Iterable[str] = (),
    development: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Builds metadata.json; it holds no time of day, so that equal input gives equal bytes.

    Args:
        model_sha256: Hash of model.onnx.
        pixel_path: From the bytes of a file to a canvas.
        decision: From logits to a grade, with the hash of the split that it was fitted on.
        gradability: Quality thresholds, with the hash of the split that they were fitted on.
        export: export.json of the chosen candidate.
        validation: Its figures on the validation split, each with value, low, high and n.
        latency: Its latency, with threads and the machine.
        versions: Installed versions of `PACKAGES`.
        development_pixels: Pixel hashes of the training and validation photographs, so that `recalibrate` can refuse
            them; whoever has a photograph can find out whether it is one of them.
        development: Numbers of training and validation photographs, their patients, grades, sites and cameras.
    """
    return {
        **format_entries(),
        "bundle_id": identify(model_sha256, pixel_path, decision, gradability),
        "name": f"dr-grader {export['model']}",
        "version": __version__,
        "changelog": {__version__: "written by `dr-pipeline package`; see CHANGELOG.md of dr_pipeline"},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"],
        "numpy_version": versions["numpy"],
        "optional_packages_version": {},
        "required_packages_version": {name: versions[name] for name in _RUNTIME},
        "task": "Classification of diabetic retinopathy (ICDR grades 0-4) in colour fundus photographs",
        "description": (
            f"{export['model']} trained as candidate {export['candidate']}, fold {export['fold']}, exported to ONNX "
            f"with its normalisation inside{_ensemble(export['ensemble'])}; the decision (calibration, cut points, "
            "thresholds) fitted on validation."
        ),
        "authors": "the dr_pipeline authors, and whoever ran it",
        "copyright": "Software: Apache-2.0. Weights: as their source and the training photographs allow.",
        "data_source": "the photographs that `data_hashes` identify; see the run of `dr-pipeline intake`",
        "data_type": "jpeg, png, tiff, bmp, webp, dicom",
        "image_classes": "RGB colour fundus photograph, 8 bit per channel",
        "eval_metrics": {name: figure["value"] for name, figure in validation.items() if is_estimate(figure)},
        "intended_use": INTENDED_USE,
        "research_use": RESEARCH_USE,
        "references": list(REFERENCES),
        "network_data_format": _network_data_format(export["input_px"]),
        "model": {key: export[key] for key in _MODEL_FACTS}
        | {"sha256": model_sha256, "precision": export.get("precision", FLOAT32)},
        "preprocessing": {"pixel_path": pixel_path.to_dict(), "fingerprint": pixel_path.fingerprint},
        "decision": decision.to_dict(),
        "gradability": gradability.to_dict(),
        "validation": dict(validation),
        "latency": dict(latency),
        "data_hashes": {key: export[key] for key in ("splits_sha256", "canvas_index_sha256")},
        "development_pixels": short_hashes(development_pixels),
        **({} if development is None else {"development": dict(development)}),
        "export_versions": dict(export["versions"]),
    }


def format_entries() -> dict[str, Any]:
    """The entries that depend on this version of dr-pipeline alone."""
    classes = "; ".join(f"{grade}: {name}" for grade, name in _classes().items())
    return {
        "schema": MONAI_SCHEMA,
        "schema_version": BUNDLE_VERSION,
        "label_classes": classes,
        "pred_classes": classes,
    }


def short_hashes(pixel_hashes: Iterable[str]) -> str:
    """The first 16 hexadecimal digits of each pixel hash, sorted, without repetition, with blanks between them."""
    return " ".join(sorted({pixel_hash[:PIXEL_DIGITS] for pixel_hash in pixel_hashes if pixel_hash}))


def known_pixels(metadata: Mapping[str, Any]) -> frozenset[str]:
    """Short hashes of the photographs that a bundle was trained, validated or recalibrated on; none: not stated."""
    hashes = f"{metadata.get('development_pixels', '')} {metadata.get('recalibration', {}).get('pixel_hashes', '')}"
    return frozenset(hashes.split())


def _classes() -> dict[str, str]:
    return {str(grade): name for grade, name in zip(GRADES, GRADE_NAMES, strict=True)}


def _ensemble(ensemble: Mapping[str, Any]) -> str:
    networks, views = len(ensemble["members"]), len(ensemble["views"])
    if networks == views == 1:
        return ""
    if ensemble["combine"] == "cascade":
        fitted = ensemble["fitted"]
        return (
            f", two networks in a row: {fitted['small']} grades, and {fitted['large']} grades again what lies closer "
            f"than {fitted['margin']:.3f} to a cut point ({fitted['asked_share']:.1%} of the validation photographs)"
        )
    if ensemble["combine"] == "soup":
        return f", the mean of the weights of {networks} networks, on {views} view(s)"
    return f", {networks} network(s) on {views} view(s) combined inside ({ensemble['combine']})"


def _network_data_format(input_px: int) -> dict[str, Any]:
    """MONAI's description of inputs and outputs; it assumes channels first; our key `layout` states the order."""
    output = {
        "type": "probabilities",
        "format": "classes",
        "modality": "n/a",
        "num_channels": NUM_GRADES,
        "spatial_shape": [],
        "dtype": "float32",
        "is_patch_data": False,
        "channel_def": _classes(),
    }
    return {
        "inputs": {
            "image": {
                "type": "image",
                "format": "magnitude",
                "layout": "NHWC",
                "modality": "colour fundus photography",
                "num_channels": 3,
                "spatial_shape": [input_px, input_px],
                "dtype": "uint8",
                "value_range": [0, 255],
                "is_patch_data": False,
                "channel_def": {"0": "red", "1": "green", "2": "blue"},
            }
        },
        "outputs": {
            "logits": output | {"type": "tuples", "value_range": []},
            "probabilities": output | {"value_range": [0, 1]},
        },
    }
