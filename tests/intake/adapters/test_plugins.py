"""Adapters as plug-ins: each shipped one is a file and a line; another distribution's works without a fork."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dr_pipeline.adapter_registry import SHIPPED, find, help_text, registrations
from dr_pipeline.cli import EXIT_USER_ERROR, main
from dr_pipeline.code_version import module_hashes
from dr_pipeline.errors import EnvironmentProblem, ParamsError
from dr_pipeline.files import read_json
from dr_pipeline.intake import adapters
from dr_pipeline.intake.adapters import read_dataset
from dr_pipeline.stages import STAGES, stage_module
from tests.factories import REPOSITORY
from tests.factories.layouts import dataset, photographs, table

pytestmark = pytest.mark.slow

ADAPTER = """
from dr_pipeline.intake.join import read_table_layout
from dr_pipeline.intake.records import Provenance

PROVENANCE = Provenance(name="clinic", licence="none", citation="none")


def read(root, dataset):
    columns = {"key": "file", "grade": "dr"}
    return read_table_layout(root, photographs=root, table=root / "dr.csv", columns=columns, provenance=PROVENANCE)
"""
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution with one adapter on the path, as pip would install it."""

    def installed(distribution: str, name: str, *, source: str = ADAPTER, function: str = "read") -> Path:
        site = tmp_path / distribution
        module = f"{distribution.replace('-', '_')}_module"
        info = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[dr_pipeline.adapters]\n{name} = {module}:{function}\n")
        (site / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(site)
        return site

    return installed


def clinic(root: Path) -> Path:
    photographs(root, ["a.png", "b.png"])
    table(root / "dr.csv", "file,dr", ["a,0", "b,3"])
    return root


def arguments(folder: Path, root: Path, adapter: str) -> list[str]:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["dataset"]["adapter"] = adapter
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    names = {"params": "params.yaml", "manifest": "m.csv", "readings": "r.csv", "report": "intake.json"}
    return ["intake", f"--root={root}", *(f"--{option}={folder / name}" for option, name in names.items())]


def test_each_shipped_adapter_is_one_file_and_one_line() -> None:
    files = {path.stem for path in Path(adapters.__file__).parent.glob("[!_]*.py")}
    assert {reference.partition(":")[0].rpartition(".")[2] for reference in SHIPPED.values()} == files
    paths = {f"intake/adapters/{name}.py" for name in files}
    closures = {stage: set(module_hashes(stage_module(stage))) for stage in STAGES}
    assert paths <= closures["intake"]
    # `pretrain` and `lesion-canvases` read a folder of photographs as `intake` does, `external` another data set
    readers = ("intake", "pretrain", "lesion-canvases", "external")
    assert not any(paths & closure for stage, closure in closures.items() if stage not in readers)


def test_the_help_lists_every_adapter_and_whether_it_was_tried() -> None:
    lines = {line.split()[0]: line for line in help_text().splitlines() if line.startswith("  ")}
    assert {registration.name for registration in registrations()} == set(lines)
    untried = {name for name, line in lines.items() if "not tried on the real download" in line}
    assert untried == {"aptos2019", "eyepacs", "messidor2_google", "messidor2_abramoff", "ddr", "deepdrid", "gdrbench"}
    for name in untried:
        source = (Path(adapters.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        assert "documented" in " ".join(source.split()), f"{name} does not name the documentation of its layout"
    assert max(map(len, help_text().splitlines())) <= 120


def test_an_adapter_of_another_distribution_runs_through_the_stage(
    tmp_path: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("clinic-adapters", "my_clinic")
    assert main(arguments(tmp_path, clinic(tmp_path / "data"), "my_clinic")) == 0
    assert "2 photographs, grades 0–4: 1 / 0 / 0 / 1 / 0" in capsys.readouterr().out
    report = read_json(tmp_path / "intake.json")
    assert report["adapter"] == "my_clinic"
    assert report["adapter_distribution"] == {"name": "clinic-adapters", "version": "1.2"}


def test_the_help_names_the_distribution_and_imports_nothing_of_it(tmp_path: Path, install: Install) -> None:
    site = install("clinic-adapters", "my_clinic", source="raise SystemExit('imported')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)])}
    command = [sys.executable, "-X", "importtime", "-m", "dr_pipeline", "intake", "--help"]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "my_clinic          from the installed distribution clinic-adapters 1.2" in finished.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in finished.stderr.splitlines()}
    assert not imported & {"numpy", "cv2", "pydantic", "pandas", "torch", "openpyxl", "clinic_adapters_module"}


def test_a_shipped_adapter_states_no_distribution(tmp_path: Path) -> None:
    photographs(tmp_path / "data", ["0/a.png"])
    assert main(arguments(tmp_path, tmp_path / "data", "folder")) == 0
    assert "adapter_distribution" not in read_json(tmp_path / "intake.json")


@pytest.mark.parametrize("name", ["idrid", "my_clinic"])
def test_a_name_that_is_registered_twice_is_refused(
    tmp_path: Path, install: Install, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install("clinic-adapters", name)
    if name not in SHIPPED:
        install("other-adapters", name)
    assert main(arguments(tmp_path, clinic(tmp_path / "data"), name)) == EXIT_USER_ERROR
    error = capsys.readouterr().err
    owners = (
        "dr-pipeline and by clinic-adapters 1.2" if name in SHIPPED else "clinic-adapters 1.2 and by other-adapters"
    )
    assert f"the adapter {name!r} is registered by {owners}" in error
    photographs(tmp_path / "other", ["0/a.png"])
    assert main(arguments(tmp_path, tmp_path / "other", "folder")) == 0  # the other names stay usable


@pytest.mark.parametrize(
    ("source", "function", "reason"),
    [
        ("import no_such_module_anywhere", "read", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("1 / 0", "read", "ZeroDivisionError"),
        ("def read(root, dataset): pass", "reed", "AttributeError"),
        ("def read(root, dataset): pass", "read", "returned NoneType, not an Intake"),
    ],
)
def test_an_adapter_that_cannot_be_used_names_its_distribution(
    tmp_path: Path, install: Install, source: str, function: str, reason: str
) -> None:
    install("broken-adapters", "broken", source=source, function=function)
    with pytest.raises(EnvironmentProblem) as caught:
        read_dataset(tmp_path, dataset("broken"))
    assert reason in str(caught.value)
    assert "broken-adapters 1.2" in str(caught.value)


def test_an_unknown_adapter_is_refused_with_the_known_ones(install: Install) -> None:
    install("clinic-adapters", "my_clinic")
    with pytest.raises(ParamsError, match=r"adapter: input should be one of 'synthetic'.*'my_clinic', found 'idird'"):
        dataset("idird")
    with pytest.raises(EnvironmentProblem, match="no installed distribution registers the adapter 'idird'"):
        find("idird")
