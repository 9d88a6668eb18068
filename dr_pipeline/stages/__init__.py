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
    "pretrain",
    "train",
    "export",
    "validate",
    "machine",
    "latency",
    "select",
    "package",
    "test",
    "external",
    "report",
)
