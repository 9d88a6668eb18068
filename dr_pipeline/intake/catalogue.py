"""What each adapter reads, in one line, and whether it was tried on the real download.

`dr-pipeline intake --help` prints it; it imports nothing.
"""

NOT_TRIED = "not tried on the real download"

# By adapter, in the order of the help: what it reads; whether it has read the real download.
ADAPTER_LINES: dict[str, tuple[str, bool]] = {
    "synthetic": ("the phantom that this project draws", True),
    "idrid": ("IDRiD, part B: Disease Grading; of the two sets the training set was tried", True),
    "aptos2019": ("APTOS 2019: train.csv and train_images", False),
    "eyepacs": ("Kaggle 2015: trainLabels.csv and train, the solution and test", False),
    "messidor2_google": ("Messidor-2, Google's adjudicated grades: messidor_data.csv", False),
    "messidor2_abramoff": (
        "Messidor-2, Iowa's referable or not, no grades: external only",
        False,
    ),
    "ddr": ("DDR: DR_grading with train, valid, test", False),
    "deepdrid": ("DeepDRiD: regular_fundus_images, two views per eye", False),
    "folder": ("a clinic's own folder: a CSV, or class folders 0 … 4; also names that say patient and eye", True),
    "datalist": ("a JSON list in the style of MONAI or nnU-Net v2; see dataset.datalist", True),
}

_READINGS = (
    "several graders: with dataset.folder.columns.grader, rows of one photograph that differ in their grader are its",
    "readings. The photograph gets their median; of two in the middle, the higher. --readings holds them, and",
    "training.reader_agreement says how far a target follows them. Without that column such rows are refused.",
)


def help_text() -> str:
    """The adapters, one per line, and how readings are told, for the help."""
    lines = [f"  {name:<19}{line}{'' if tried else f' ({NOT_TRIED})'}" for name, (line, tried) in ADAPTER_LINES.items()]
    return "\n".join(["adapters, for dataset.adapter in params.yaml:", *lines, "", *_READINGS])
