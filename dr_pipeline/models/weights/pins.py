"""The hash or id behind the `#` of `file:PATH#sha256`, `package:NAME#sha256` and `bundle:PATH#id`."""

import re

# The last `#` with hexadecimal digits alone behind it: a path may contain others.
_PIN = re.compile(r"#(?:sha256:)?([0-9a-fA-F]*)$")


def split_pin(reference: str) -> tuple[str, str]:
    """What comes before the pin, and the hash or id in lower case; empty without one."""
    found = _PIN.search(reference)
    return (reference[: found.start()], found[1].lower()) if found else (reference, "")
