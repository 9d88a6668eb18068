"""Reads a page's tags: that they close, what they load and what they run."""

from html.parser import HTMLParser


class Tags(HTMLParser):
    """Counts tags and notes what is loaded and what runs.

    Attributes:
        loads: Every `src` and `href`.
        scripts: Script tags and tags with an event handler.
        images: Image tags.

    Raises:
        AssertionError: A tag is not closed, or another one is.
    """

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self.loads: list[str] = []
        self.scripts = 0
        self.images = 0
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [given[name] or "" for name in ("src", "href") if name in given]
        self.scripts += tag == "script" or any(name.startswith("on") for name in given)
        self.images += tag == "img"
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
