"""The one door to OpenCV: one thread, quiet, and a sentence that helps where it cannot be imported.

Every module of the package that needs OpenCV writes ``from dr_pipeline.fundus.opencv import cv2``.
"""

from importlib import metadata

from dr_pipeline.errors import EnvironmentProblem

# Each installs the same folder `cv2`; two of them overwrite each other's files.
DISTRIBUTIONS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


def installed_distributions() -> list[str]:
    """Which of the packages that install `cv2` are here; exactly one is right."""
    found = []
    for name in DISTRIBUTIONS:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def import_problem(error: ImportError, installed: list[str]) -> EnvironmentProblem:
    """Turns a failed `import cv2` into what to do about it.

    Args:
        error: What the import raised.
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

# Photographs, not pixels, are shared out over the cores; OpenCV's own threads would fight them.
cv2.setNumThreads(1)
# A broken file becomes an ImageError with a reason; OpenCV's own lines beside it would only be noise.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = ["cv2"]
