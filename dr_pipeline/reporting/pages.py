"""What the HTML pages share: templates that escape all they are given, and pictures inside the file."""

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def environment(package: str) -> Environment:
    """jinja2 over `templates` of a package, with the filter `data_uri`; an unknown name is an error."""
    pages = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["data_uri"] = data_uri
    return pages


def data_uri(image: bytes) -> Markup:
    """A JPEG or an SVG as the `src` of an <img>; base64 needs no escaping."""
    kind = "image/jpeg" if image.startswith(b"\xff\xd8") else "image/svg+xml"
    return Markup(f"data:{kind};base64,{base64.b64encode(image).decode('ascii')}")  # noqa: S704
