"""One thin module per DVC stage: parse, read, call, write, report."""

# In the order in which the data pass through them.
STAGES = (
    "code",
    "phantom",
    "sources",
    "intake",
    "preprocess",
    "audit",
    "split",
    "gradability",
    "lesion-canvases",
    "train-lesions",
    "validate-lesions",
    "export-lesions",
    "pretrain",
    "train",
    "export",
    "validate",
    "machine",
    "latency",
    "cascade",
    "select",
    "package",
    "test",
    "external",
    "report",
)


def stage_module(stage: str) -> str:
    """The name of a stage's module."""
    return f"{__name__}.{stage.replace('-', '_')}"
