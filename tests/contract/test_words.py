"""The vocabulary: words that are not plain technical English do not occur in code, messages and documents."""

import re
import subprocess

from tests.factories import REPOSITORY

# Instead: again, from scratch; states, reports, prints; fix, correct; command line; validate, assess, grade; trained.
BANNED = re.compile(
    r"\b(anew|hearken\w*|mend(s|ed|ing)?|door|judg(e|es|ed|ing)|learnt|tells|told|said|whom|thereof|hither|"
    r"deem(s|ed)?|heed(s|ed)?|aught|naught|betwixt|ere|behold|shan't|whence|whither|bade|forsooth)\b",
    flags=re.IGNORECASE,
)
PLACES = (
    "dr_pipeline",
    "benchmarks",
    "docs",
    "examples",
    "tools",
    "README.md",
    "CONTRIBUTING.md",
    "dvc.yaml",
    "params.yaml",
    "Makefile",
)
SUFFIXES = (".py", ".j2", ".yaml", ".md", "Makefile")


def test_no_banned_word_in_code_messages_and_documents() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PLACES],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name.endswith(SUFFIXES)]
    assert len(names) > 300
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in names
        if (REPOSITORY / name).is_file()
        for number, line in enumerate((REPOSITORY / name).read_text(encoding="utf-8").splitlines(), start=1)
        if BANNED.search(line)
    ]
    assert found == []
