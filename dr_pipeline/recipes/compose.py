"""The shipped recipes: base.yaml, complete and commented, and one overlay for each with what differs from it."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.weights.packages import PACKAGE, InstalledWeights, known_model
from dr_pipeline.params.yaml_text import dump, on_one_line, parse, set_value
from dr_pipeline.recipes import NAMES, SOURCE_LINK, SOURCE_LINKS
from dr_pipeline.recipes.lesion_entries import lesion_section

_FOLDER = Path(__file__).parent
_BASE = "base"
# The candidate that takes a file as --weights, in recipes whose candidates start from published weights.
_WEIGHTS_CANDIDATE = "lite0"
_SHIPPED_ROOT = f"data/{SOURCE_LINK}"
_HEADER = re.compile(r"(?:#.*\n)*")
_SHA256_OF_FILE = re.compile(r"(weights: \S*file:.*\S)#[0-9a-f]{64}")
_ADAPTER = re.compile(r"^  adapter: (\w+)", re.MULTILINE)


class Recipe:
    """A recipe, to be fitted to a user's folders and written as params.yaml."""

    def __init__(self, name: str) -> None:
        self.name = name
        base, overlay = _read(_BASE), _read(name)
        self._header = _header(overlay) + _header(base)
        self._document = parse(_without_blank_lines(base))
        _merge(self._document, parse(_without_blank_lines(overlay)))

    @property
    def reads_source(self) -> bool:
        """Whether the recipe reads photographs through the link `source`."""
        return bool(self._document["dataset"]["root"] == _SHIPPED_ROOT)

    @property
    def reads_sources(self) -> bool:
        """Whether the recipe reads several data sets through links in the folder `sources`."""
        return bool(self._document["dataset"]["root"] == f"data/{SOURCE_LINKS}")

    @property
    def adapter(self) -> str:
        """The adapter by which the recipe reads its photographs."""
        return str(self._document["dataset"]["adapter"])

    @property
    def weights_model(self) -> str | None:
        """The timm model whose weights the recipe can take from the link `weights`; None where it takes none."""
        candidate = self._pretrained().get(_WEIGHTS_CANDIDATE)
        return str(candidate["model"]) if candidate else None

    @property
    def packages(self) -> tuple[str, ...]:
        """`weights` of the candidates that take them from installed packages."""
        weights = (str(candidate["weights"]) for candidate in self._document["candidates"].values())
        return tuple(reference for reference in weights if reference.startswith(PACKAGE))

    def select_candidates(self, names: Collection[str]) -> None:
        """Keeps these candidates only, in the recipe's order.

        Raises:
            ParamsError: The recipe has no candidate of that name.
        """
        candidates = self._document["candidates"]
        for name in names:
            if name not in candidates:
                raise ParamsError(f"the recipe has no candidate {name!r}", todo=f"choose among {', '.join(candidates)}")
        _keep(candidates, names)

    def link(self, *, source: Path | None = None, weights: Path | None = None, sha256: str = "") -> None:
        """Sets the data set's folder, and the weights of the candidate that takes them.

        DVC does not see the file behind the link; the hash in params.yaml is what re-trains when the weights change.
        """
        if source is not None and self.reads_source:
            set_value(self._document["dataset"], "root", source.as_posix())
        if weights is not None and self.weights_model is not None:
            value = f"file:{weights.as_posix()}" + (f"#{sha256}" if sha256 else "")
            set_value(self._document["candidates"][_WEIGHTS_CANDIDATE], "weights", value)

    def take_sources(self, folder: Path, sources: Sequence[Mapping[str, str]]) -> None:
        """Sets the entries of `dataset.sources`, a line each, and the folder of their links."""
        dataset = self._document["dataset"]
        set_value(dataset, "root", folder.as_posix())
        lines = "".join(f"- {on_one_line(source)}\n" for source in sources)
        set_value(dataset, "sources", parse(f"sources:\n{lines}")["sources"])

    def take_lesions(self, adapter: str, root: Path) -> None:
        """Fills the section `lesions` for a data set with masks of this adapter, in this folder."""
        section = lesion_section(adapter)
        for entry in section.values():
            set_value(entry["data"], "root", root.as_posix())
        set_value(self._document, "lesions", section)

    def take_package(self, package: InstalledWeights) -> None:
        """Sets the weights of the candidates whose model a package is for; of an unknown package, as those of a file.

        Raises:
            ParamsError: No candidate with pretrained weights has this model.
        """
        model = known_model(package.name) or self.weights_model
        takers = [candidate for candidate in self._pretrained().values() if candidate["model"] == model]
        if not takers:
            raise ParamsError(
                f"no selected candidate of the recipe {self.name} takes the weights of {package.name}"
                + (f", which are for {model}" if model else ""),
                todo=f"leave --weights out; then write model: {model or 'NAME'} and weights: {package.reference} at a "
                "candidate in params.yaml",
            )
        for candidate in takers:
            set_value(candidate, "weights", package.reference)

    def _pretrained(self) -> dict[str, CommentedMap]:
        """The candidates that start from weights."""
        candidates = self._document["candidates"].items()
        return {name: candidate for name, candidate in candidates if candidate["weights"] != "none"}

    def gives(self, text: str, *, source: Path, weights: Path) -> bool:
        """Whether `text` is this recipe as it is, or fitted to these links; the recipe is fitted to them then."""
        if self.text() == text:
            return True
        self.link(source=source)
        if self.text() == text:
            return True
        self.link(weights=weights)
        return self.text() == text

    def text(self) -> str:
        """A complete, commented params.yaml."""
        return self._header + re.sub(r"^(?=\w)", "\n", dump(self._document), flags=re.MULTILINE)


def recipe_text(name: str) -> str:
    """The params.yaml that a recipe gives as shipped."""
    return Recipe(name).text()


def is_unedited(text: str, *, source: Path, weights: Path) -> bool:
    """Whether `text` is a shipped recipe, as it is or fitted to these links: then nothing is lost with it."""
    adapter, text = _ADAPTER.search(text), _SHA256_OF_FILE.sub(r"\1", text)
    if adapter is None:
        return False
    recipes = [recipe for recipe in map(Recipe, NAMES) if recipe.adapter == adapter[1]]
    return any(recipe.gives(text, source=source, weights=weights) for recipe in recipes)


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def _header(text: str) -> str:
    match = _HEADER.match(text)
    return match[0] if match else ""


def _without_blank_lines(text: str) -> str:
    """What follows the header; blank lines are put back between sections when it is written."""
    return re.sub(r"\n{2,}", "\n", text[len(_header(text)) :]).lstrip("\n")


def _merge(base: CommentedMap, overlay: CommentedMap) -> None:
    """Puts the overlay's values, and its comments where it has some, into the base.

    A mapping with all keys of the base's replaces it, comments included. Of the candidates only those of the overlay
    stay, where it names some.
    """
    for key, value in overlay.items():
        if key == "candidates":
            _keep(base[key], value)
        if isinstance(value, CommentedMap) and (key == "candidates" or not set(base[key]) <= set(value)):
            _merge(base[key], value)
        else:
            base[key] = value
        if key in overlay.ca.items:
            base.ca.items[key] = overlay.ca.items[key]


def _keep(candidates: CommentedMap, names: Collection[str]) -> None:
    for name in [name for name in candidates if name not in names]:
        del candidates[name]
