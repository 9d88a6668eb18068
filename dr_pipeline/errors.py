"""Errors a user can act on: each states what is wrong, where, and what to do next."""


class DrPipelineError(Exception):
    """Base of every error that is reported as one clear message, without a traceback.

    Args:
        what: What is wrong, with the value found.
        where: The file, row or parameter concerned.
        todo: What to do next.
    """

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        super().__init__("\n".join(filter(None, [what, where and f"  where: {where}", todo and f"  to do: {todo}"])))


class DataError(DrPipelineError):
    """The photographs, their labels or a table of them cannot be used as they are."""


class ImageError(DataError):
    """One file does not give a gradable picture; becomes a row with a status and a reason, never an abort."""


class ParamsError(DrPipelineError):
    """params.yaml holds an unknown key, lacks one, or has a value out of range."""


class BundleError(DrPipelineError):
    """A deployable bundle is incomplete, altered, or fails its self-test."""


class GateError(DrPipelineError):
    """A gate of the pipeline (audit, split, parity, selection) refuses to go on."""


class EnvironmentProblem(DrPipelineError):  # noqa: N818 (EnvironmentError is Python's own)
    """This machine or installation lacks something."""
