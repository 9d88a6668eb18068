"""`recipe --source SITE[:ROLE]=ADAPTER:PATH`: one of several sources, on the command line."""

import re
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.adapter_registry import is_registered
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.schema import Role

_ARGUMENT = re.compile(r"(?P<site>[^:=]+)(?::(?P<role>[^:=]+))?=(?P<adapter>[^:=]*):(?P<root>.+)")
# As `Source.prefix`; the site is the link's name too, which must not lead out of the links' folder.
_SITE = re.compile(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*")
_TODO = "write SITE=ADAPTER:PATH, such as idrid=idrid:/data/idrid; SITE:test=… for a role; SITE:unlabelled=:PATH"


@dataclass(frozen=True)
class SourceArgument:
    """One source: what params.yaml has of it, and the folder that its link leads to.

    Attributes:
        site: Also the link's name and the prefix of image ids.
        role: As in `dataset.sources`; empty: all.
        adapter: Empty for unlabelled photographs.
        root: The user's folder, absolute.
    """

    site: str
    role: str
    adapter: str
    root: Path

    @classmethod
    def parse(cls, text: str) -> "SourceArgument":
        """Reads one argument.

        Raises:
            ParamsError: It is not of the form, its site cannot name a link and begin image ids, or there is no such
                adapter or role.
            DataError: There is no such folder.
        """
        match = _ARGUMENT.fullmatch(text)
        if match is None:
            raise ParamsError(f"not a source: {text!r}", where="--source", todo=_TODO)
        if not _SITE.fullmatch(match["site"]):
            raise ParamsError(
                f"the site {match['site']!r} cannot name a link and begin image ids",
                where=f"--source {text}",
                todo="use letters A–Z, digits and single - or _; in params.yaml the source can have any `site` beside "
                "a `name`",
            )
        if match["adapter"] and not is_registered(match["adapter"]):
            raise ParamsError(
                f"there is no adapter {match['adapter']!r}",
                where=f"--source {text}",
                todo="choose one of `dr-pipeline intake --help`",
            )
        if match["role"] and match["role"] not in [role.value for role in Role]:
            raise ParamsError(
                f"there is no role {match['role']!r}",
                where=f"--source {text}",
                todo=f"choose one of {', '.join(role.value for role in Role)}",
            )
        root = Path(match["root"]).expanduser()
        if not root.is_dir():
            raise DataError("the folder of a source is missing", where=f"--source {text}", todo="correct its path")
        return cls(match["site"], match["role"] or "", match["adapter"], root.resolve())

    def values(self, link: Path) -> dict[str, str]:
        """Its entry of `dataset.sources`."""
        entry = {"site": self.site, "adapter": self.adapter, "root": link.as_posix(), "role": self.role}
        return {key: value for key, value in entry.items() if value}
