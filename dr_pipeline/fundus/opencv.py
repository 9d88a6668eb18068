"""OpenCV as the package uses it: one thread, no log output, and an actionable error if it cannot be imported.

Every module that needs OpenCV imports it with ``from dr_pipeline.fundus.opencv import cv2``.
"""

from importlib import metadata

from dr_pipeline.errors import EnvironmentProblem

# Each installs the same folder `cv2`, so that two of them overwrite each other's files.
DISTRIBUTIONS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


def installed_distributions() -> list[str]:
    """The installed packages that provide `cv2`; exactly one is correct."""
    return [name for name in DISTRIBUTIONS if any(metadata.distributions(name=name))]


def import_problem(error: ImportError, installed: list[str]) -> EnvironmentProblem:
    """Converts a failed `import cv2` into an error with a remedy.

    Args:
        error: Raised by the import.
        installed: The result of `installed_distributions`.
    """
    if len(installed) > 1:
        return EnvironmentProblem(
            f"OpenCV is installed {len(installed)} times, each over the others' files: {', '.join(installed)}",
            where=str(error),
            todo=f"pip uninstall -y {' '.join(installed)} && pip install opencv-python-headless",
        )
    if "libGL" in str(error) or "libgthread" in str(error):
        return EnvironmentProblem(
            "this OpenCV draws windows and needs libGL, which this host lacks",
            where=str(error),
            todo=f"pip uninstall -y {' '.join(installed)} && pip install opencv-python-headless",
        )
    return EnvironmentProblem("OpenCV cannot be imported", where=str(error), todo="pip install opencv-python-headless")


try:
    import cv2
except ImportError as problem:
    raise import_problem(problem, installed_distributions()) from problem

# Work is spread over the cores by photograph; OpenCV's own threads would compete with it.
cv2.setNumThreads(1)
# A corrupt file becomes an ImageError with a reason; OpenCV's own messages add nothing.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = ["cv2"]
