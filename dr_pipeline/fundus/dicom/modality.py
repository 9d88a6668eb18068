"""Accepts photographs only: an OCT graded as a fundus would be a silent error."""

from dr_pipeline.errors import ImageError

# Modality (0008,0060), PS3.3 C.7.3.1.1.1: ophthalmic photography; external-camera photography.
PHOTOGRAPHY = frozenset({"OP", "XC"})
# Storage SOP classes (PS3.6, annex A) of eye photographs, whatever the modality.
_EYE_PHOTOGRAPHS = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.77.1.5.1",  # ophthalmic photography, 8 bits
        "1.2.840.10008.5.1.4.1.1.77.1.5.2",  # ophthalmic photography, 16 bits
        "1.2.840.10008.5.1.4.1.1.77.1.5.5",  # wide field, stereographic projection
        "1.2.840.10008.5.1.4.1.1.77.1.5.6",  # wide field, 3D coordinates
    }
)
# Classes of pictures of anything: photographs only if the modality states it (or, for VL, is absent).
_VL_PHOTOGRAPHIC = "1.2.840.10008.5.1.4.1.1.77.1.4"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_STANDARD_ROOT = "1.2.840.10008."
# Modalities that eye departments' archives also hold, by their defined terms. Messages quote no others, because a
# corrupt file may hold a person's name there.
_NAMES = {
    "AR": "autorefraction",
    "AU": "audio",
    "CR": "computed radiography",
    "CT": "computed tomography",
    "DOC": "document",
    "DX": "digital radiography",
    "ECG": "electrocardiography",
    "ES": "endoscopy",
    "GM": "general microscopy",
    "IOL": "intraocular lens calculation",
    "IVOCT": "intravascular OCT",
    "KER": "keratometry",
    "KO": "key object selection",
    "LEN": "lensometry",
    "MG": "mammography",
    "MR": "magnetic resonance",
    "NM": "nuclear medicine",
    "OAM": "ophthalmic axial measurements",
    "OCT": "optical coherence tomography",
    "OPM": "ophthalmic mapping",
    "OPT": "ophthalmic tomography (OCT)",
    "OPTBSV": "ophthalmic tomography B-scan volume",
    "OPTENF": "ophthalmic tomography en face",
    "OPV": "ophthalmic visual field",
    "OT": "other",
    "PR": "presentation state",
    "PT": "positron emission tomography",
    "RF": "radio fluoroscopy",
    "RTDOSE": "radiotherapy dose",
    "RTIMAGE": "radiotherapy image",
    "RTSTRUCT": "radiotherapy structure set",
    "SEG": "segmentation",
    "SM": "slide microscopy",
    "SMR": "stereometric relationship",
    "SR": "structured report",
    "SRF": "subjective refraction",
    "TG": "thermography",
    "US": "ultrasound",
    "VA": "visual acuity",
    "XA": "angiography",
}


def require_photograph(modality: str, sop_class: str) -> None:
    """Refuses every DICOM object that is not a photograph.

    | Modality | SOP class | policy |
    |---|---|---|
    | OP, XC | ophthalmic or VL photograph, secondary capture, private, absent | read |
    | absent | ophthalmic or VL photograph | read |
    | OP, XC or absent | any other of the standard (OCT, report, raw data, …) | refused |
    | any other | any | refused, the modality named |

    Args:
        modality: Element (0008,0060).
        sop_class: Element (0008,0016).

    Raises:
        ImageError: It is not a photograph.
    """
    if modality and modality not in PHOTOGRAPHY:
        named = f"{modality}, {_NAMES[modality]}" if modality in _NAMES else "of an unknown term"
        raise ImageError(f"DICOM of another modality ({named}): not a photograph", todo="give photographs (OP) only")
    if sop_class in _EYE_PHOTOGRAPHS or sop_class == _VL_PHOTOGRAPHIC:
        return
    captured = not sop_class or not sop_class.startswith(_STANDARD_ROOT) or _is_capture(sop_class)
    if not modality or not captured:
        raise ImageError(f"DICOM that is no photograph: its SOP class is {_class_name(sop_class)}")


def _is_capture(sop_class: str) -> bool:
    return sop_class == _SECONDARY_CAPTURE or sop_class.startswith(f"{_SECONDARY_CAPTURE}.")


def _class_name(sop_class: str) -> str:
    """The standard's name; never the file's own text."""
    from dr_pipeline.fundus.dicom.quiet_pydicom import UID

    if not sop_class:
        return "absent, and so is its modality"
    name = UID(sop_class).name
    return "not of the standard" if name == sop_class else name
