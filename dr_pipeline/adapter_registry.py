"""Which data-set adapters there are: those shipped with this package, and those of other installed distributions.

An adapter is a function `read(root, dataset) -> Intake`, named as `module:function`; nothing is imported here. How to
add one: see `dr_pipeline/intake/adapters/__init__.py`.
"""

from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import EnvironmentProblem

# The entry-point group by which other distributions register adapters.
GROUP = "dr_pipeline.adapters"
SHIPPED = {
    "synthetic": "dr_pipeline.intake.adapters.synthetic:read",
    "idrid": "dr_pipeline.intake.adapters.idrid:read",
    "aptos2019": "dr_pipeline.intake.adapters.aptos2019:read",
    "eyepacs": "dr_pipeline.intake.adapters.eyepacs:read",
    "messidor2_google": "dr_pipeline.intake.adapters.messidor2_google:read",
    "messidor2_abramoff": "dr_pipeline.intake.adapters.messidor2_abramoff:read",
    "ddr": "dr_pipeline.intake.adapters.ddr:read",
    "deepdrid": "dr_pipeline.intake.adapters.deepdrid:read",
    "gdrbench": "dr_pipeline.intake.adapters.gdrbench:read",
    "folder": "dr_pipeline.intake.adapters.clinic_folder:read",
    "datalist": "dr_pipeline.intake.adapters.datalist:read",
}


@dataclass(frozen=True)
class Registration:
    """One registered adapter; `distribution` and `version` are empty where it is shipped with this package."""

    name: str
    reference: str
    distribution: str = ""
    version: str = ""

    @property
    def owner(self) -> str:
        """The distribution in words."""
        return f"{self.distribution} {self.version}".strip() or "dr-pipeline"


def registrations() -> tuple[Registration, ...]:
    """Every registered adapter: the shipped ones in their order, then the others by name; a name may occur twice."""
    from importlib.metadata import entry_points

    others = [
        Registration(entry.name, entry.value, entry.dist.name, entry.dist.version)
        for entry in entry_points(group=GROUP)
        if entry.dist is not None
    ]
    shipped = (Registration(name, reference) for name, reference in SHIPPED.items())
    return (*shipped, *sorted(others, key=lambda other: (other.name, other.distribution)))


def is_registered(name: str) -> bool:
    """Whether `dataset.adapter` may have this value."""
    return name in SHIPPED or any(registration.name == name for registration in registrations())


def find(name: str) -> Registration:
    """The adapter of this name.

    Raises:
        EnvironmentProblem: No installed distribution registers it, or several do.
    """
    matches = [registration for registration in registrations() if registration.name == name]
    if not matches:
        raise EnvironmentProblem(
            f"no installed distribution registers the adapter {name!r}",
            where=f"entry-point group {GROUP}",
            todo="install the one that does, or choose an adapter from `dr-pipeline intake --help`",
        )
    if len(matches) > 1:
        raise EnvironmentProblem(
            f"the adapter {name!r} is registered by {' and by '.join(match.owner for match in matches)}",
            where=f"entry-point group {GROUP}",
            todo="rename one of them, or uninstall its distribution",
        )
    return matches[0]


def help_text() -> str:
    """The adapters, one per line, with the first line of a shipped adapter's docstring or the distribution."""
    lines = [
        f"  {registration.name:<19}"
        + (
            f"from the installed distribution {registration.owner}"
            if registration.distribution
            else _summary(registration)
        )
        for registration in registrations()
    ]
    return "\n".join(["adapters, for dataset.adapter in params.yaml:", *lines])


def _summary(registration: Registration) -> str:
    module = registration.reference.partition(":")[0].partition(".")[2]
    path = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
    with path.open(encoding="utf-8") as source:
        return source.readline().strip().strip('"').removesuffix(".")
