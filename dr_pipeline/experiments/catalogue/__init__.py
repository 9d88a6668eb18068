"""The shipped experiments, one YAML file each; a further file here is a further experiment."""

from pathlib import Path

FOLDER = Path(__file__).parent


def experiment_names() -> tuple[str, ...]:
    """The names of the experiments, sorted; reads no file, so that the command line's help needs no YAML."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
