"""The camera's name, as a file's EXIF block or DICOM header states maker and model; never a serial number."""

import re

_MAX_LENGTH = 64
# Nothing but letters of a name: no control characters, and no sign that a spreadsheet would run as a formula.
_NOT_PRINTED = re.compile(r"[^\w .,()/+&#-]+")


def camera_name(maker: str, model: str) -> str:
    """`Topcon NW400`: maker and model without what repeats, at most 64 characters; "" where neither is known.

    The maker is left out where the model begins with its first word, as in "Canon" and "Canon CR-2".
    """
    maker, model = _plain(maker), _plain(model)
    if maker and model.casefold().startswith(maker.casefold().split()[0]):
        maker = ""
    return f"{maker} {model}".strip()[:_MAX_LENGTH].rstrip()


def _plain(text: str) -> str:
    return " ".join(_NOT_PRINTED.sub(" ", text).split()).lstrip("+- ")
