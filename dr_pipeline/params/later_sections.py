"""What the stages after training need of params.yaml, checked before the training.

The data set's section is not read here: `train` must not depend on the code of the adapters.
"""

from pathlib import Path

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.candidate import Candidate, model_family
from dr_pipeline.params.evaluation import Deployment, Evaluation, Latency, OperatingPoint
from dr_pipeline.params.params_file import load_names, load_section


def require_later_sections(path: Path) -> None:
    """Refuses before a training what `validate`, `latency` or `select` must refuse after it.

    Raises:
        ParamsError: A section that they read is wrong, or no candidate is of a family that may be deployed.
    """
    candidates = [load_section(path, f"candidates.{name}", Candidate) for name in load_names(path, "candidates")]
    load_section(path, "evaluation", Evaluation)
    load_section(path, "operating_point", OperatingPoint)
    load_section(path, "latency", Latency)
    deployable = load_section(path, "deployment", Deployment).families
    require_lesion_network(path)
    families = sorted({model_family(candidate.model) for candidate in candidates})
    if not set(families) & set(deployable):
        raise ParamsError(
            f"no candidate may be deployed: they are of the families {', '.join(families)}, deployable are "
            f"{', '.join(deployable)}",
            where=f"{path}, deployment.families",
            todo="add the family, if the clinic agrees, or a candidate of a deployable family",
        )


def require_lesion_network(path: Path) -> None:
    """Refuses before the work where `select` could not say which network for lesions the bundle gets.

    Raises:
        ParamsError: See `Deployment.lesion_network`.
    """
    load_section(path, "deployment", Deployment).lesion_network(load_names(path, "lesions"))
