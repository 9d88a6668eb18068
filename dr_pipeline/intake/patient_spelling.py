"""One spelling of a patient id: what two typists, a spreadsheet or a DICOM node make of one id becomes one key."""

import re
import unicodedata

# Numbers and what stands between them; a letter with its accents stays one piece.
_PIECES = re.compile(r"\d+|[^\d\s]+")
# Combining marks of Latin, Greek and Cyrillic letters; those of Indic scripts and Thai are vowels and stay.
_ACCENTS = re.compile("[\u0300-\u036f]")
_ZERO_FRACTION = re.compile(r"(?<=\d)[.,]0+$")  # pandas writes integers so in a column with an empty cell
_NEEDLESS_BLANK = re.compile(r"(?<!\d) | (?!\d)")  # only two numbers need one
_SEPARATORS = ("P", "Z", "S", "C")  # categories of Unicode: punctuation, blanks, symbols, control and format characters
_EYES = frozenset({"l", "r", "od", "os", "left", "right"})


def plain_text(text: str) -> str:
    """One form of each character: full-width letters, accents, case, and digits of any script as 0–9."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in plain).strip()


def pieces(plain: str) -> list[str]:
    """The words and numbers of a text as `plain_text` gives it."""
    spaced = "".join(
        "" if unicodedata.category(sign) == "Cf" else " " if unicodedata.category(sign)[0] in _SEPARATORS else sign
        for sign in plain
    )
    return _PIECES.findall(spaced)


def spelling_key(patient_id: str) -> str:
    """The key that all spellings of one id share.

    Case, accents, blanks, separators, quotes, DICOM's trailing ^, a trailing .0, leading zeros, full-width or Arabic
    digits and a trailing eye (P1-L, P1 OD) are no difference; a separator between two numbers is one, so that 1-23 and
    12-3 stay apart.

    >>> {spelling_key(text) for text in ("P0001", "P1", "p0001", "P 0001", "P0001^", "P-1_OD")}
    {'p1'}
    >>> spelling_key("1.0"), spelling_key("1-23"), spelling_key("0012 / 3")
    ('1', '1 23', '12 3')
    """
    parts = pieces(_ZERO_FRACTION.sub("", plain_text(patient_id).strip("^ '\"")))
    if len(parts) > 1 and parts[-1] in _EYES:
        parts.pop()
    parts = [part.lstrip("0") or "0" if part.isdecimal() else part for part in parts]
    return _NEEDLESS_BLANK.sub("", " ".join(parts))
