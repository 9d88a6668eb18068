"""dvc.yaml says exactly what each stage reads: code, parameters, nothing more and nothing less."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr_pipeline.code_version import OUTPUT_NEUTRAL, module_hashes
from dr_pipeline.params.candidate import Candidate, EnsembleParams
from dr_pipeline.params.params_file import SECTIONS
from dr_pipeline.params.root import Params
from dr_pipeline.params.section import section_of
from dr_pipeline.stages import STAGES, stage_module, train
from tests.factories import REPOSITORY

DVC = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]

# sections that are loaded whole and tracked in parts
IN_PARTS = {name: "candidates.{candidate}" for name in train.PARAMS if name.startswith("candidates.{candidate}.")}


def definition(stage: str) -> dict[str, Any]:
    return DVC[stage].get("do", DVC[stage])


def keys_of(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [key for name, value in node.items() for key in (str(name), *keys_of(value))]
    if isinstance(node, list):
        return [key for value in node for key in keys_of(value)]
    return []


def parameter_files() -> list[Path]:
    return [REPOSITORY / "params.yaml", *sorted((REPOSITORY / "dr_pipeline" / "recipes").glob("*.yaml"))]


def module_file(stage: str) -> str:
    return f"{stage_module(stage).rpartition('.')[2]}.py"


def stage_source(stage: str) -> str:
    return (REPOSITORY / "dr_pipeline" / "stages" / module_file(stage)).read_text()


def sources(stage: str) -> dict[str, str]:
    """The text of every module in a stage's import closure, by its path inside the package."""
    modules = module_hashes(stage_module(stage))
    return {name: (REPOSITORY / "dr_pipeline" / name).read_text() for name in modules}


def test_one_verb_per_stage_in_the_order_of_the_command_line() -> None:
    assert tuple(DVC) == STAGES
    assert [definition(stage)["cmd"].split()[3] for stage in DVC] == list(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_own_code_version_and_on_no_module(stage: str) -> None:
    deps = definition(stage)["deps"]
    if stage == "code":
        assert deps == ["dr_pipeline"]
    else:
        assert [dep for dep in deps if "code" in dep] == [f"data/code/{stage}.json"]
        assert not [dep for dep in deps if dep.endswith(".py")]


def test_the_pipeline_is_readable_from_top_to_bottom() -> None:
    # four stages of lesions, off by default, are 80 of them, that of cascades 35
    assert len((REPOSITORY / "dvc.yaml").read_text().splitlines()) <= 540


def test_output_neutral_modules_exist_and_only_the_allowed_ones_are_left_out() -> None:
    assert all((REPOSITORY / "dr_pipeline" / name).exists() for name in OUTPUT_NEUTRAL)
    assert len(OUTPUT_NEUTRAL) <= 9


@pytest.mark.parametrize("stage", STAGES)
def test_parameters_tracked_are_those_the_stage_declares(stage: str) -> None:
    module = importlib.import_module(stage_module(stage))
    declared = [
        name.replace("{candidate}", "${item.candidate}").replace("{name}", "${key}")
        for name in getattr(module, "PARAMS", ())
    ]
    assert sorted(definition(stage).get("params", [])) == sorted(declared)


def called_modules(stage: str) -> list[Path]:
    """The stage's module, and the modules whose functions it calls."""
    stages = REPOSITORY / "dr_pipeline" / "stages"
    imported = [node for node in ast.walk(ast.parse(stage_source(stage))) if isinstance(node, ast.ImportFrom)]
    files = [REPOSITORY.joinpath(*(node.module or "").split(".")).with_suffix(".py") for node in imported]
    return [stages / module_file(stage), *(path for path in files if path.is_file() and path.parent.name != "params")]


def sections_loaded(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("load_section", "load_names"):
                section = ast.unparse(node.args[1]).strip("f'\"")
                yield re.sub(r"\{args\.(\w+)\}", r"{\1}", section).replace(
                    "candidates.{name}", "candidates.{candidate}"
                )
            elif node.func.id == "load_folds":
                yield "folds"


@pytest.mark.parametrize("stage", STAGES)
def test_the_sections_a_stage_loads_are_those_it_declares(stage: str) -> None:
    """Every load_section, load_names or load_folds call of the stage names a declared section, and all are loaded."""
    module = importlib.import_module(stage_module(stage))
    loaded = {section for path in called_modules(stage) for section in sections_loaded(path)}
    declared = set(getattr(module, "PARAMS", ()))
    assert loaded == {*(declared - IN_PARTS.keys()), *(IN_PARTS[name] for name in declared & IN_PARTS.keys())}


def test_of_a_candidate_all_is_tracked_by_its_training_but_how_answers_are_combined() -> None:
    """`train` loads the whole candidate; what it does not track may not reach what it trains."""
    tracked = {name.removeprefix("candidates.{candidate}.") for name in IN_PARTS}
    assert tracked == {*Candidate.model_fields} - {"ensemble"} | {"ensemble.seeds"}
    untracked = EnsembleParams.model_fields.keys() - {"seeds"}
    code = sources("train")
    assert [name for name in code if re.search(rf"ensemble\.({'|'.join(untracked)})\b", code[name])] == []


def test_every_parameter_is_read_by_every_stage_that_tracks_its_section() -> None:
    """A field nobody reads would re-run stages for nothing, or be a promise not kept."""
    unread = []
    for stage in STAGES:
        module = importlib.import_module(stage_module(stage))
        code = "\n".join(text for name, text in sources(stage).items() if not name.startswith("params/"))
        for dotted in getattr(module, "PARAMS", ()):
            unread += [
                f"{stage}: {dotted}.{field}"
                for field in fields_of(dotted)
                if not re.search(rf"[.\"]{field}\b", code)
                and (stage, field) not in READ_BY_DVC
                and (stage, dotted) not in (("select", "candidates"), ("select", "lesions"), ("cascade", "candidates"))
            ]
    assert unread == []


# dataset.root is interpolated by dvc.yaml itself; `select` and `cascade` take the names of candidates and lesions only;
# one key of `train` is read by the check of its own section; predictive values are stated of the test part alone;
# lesions have neither
READ_BY_DVC = {
    ("intake", "root"),
    ("train", "weights_and_sampling"),
    ("validate", "prevalences"),
    ("select", "prevalences"),
    ("cascade", "prevalences"),
    ("validate-lesions", "prevalences"),
    ("validate-lesions", "two_eye_fusion"),
}


def fields_of(dotted: str) -> list[str]:
    section, *parts = dotted.split(".")
    model = section_of(Params, section)
    if model is None:
        return []
    names = []
    for part in [part for part in parts if not part.startswith("{")]:
        names.append(part)
        model = model.model_fields[part].annotation
        if not hasattr(model, "model_fields"):
            return names
    waiting = [model]
    while waiting:
        for name, field in waiting.pop().model_fields.items():
            names.append(name)
            if hasattr(field.annotation, "model_fields"):
                waiting.append(field.annotation)
    return names


@pytest.mark.parametrize("path", parameter_files(), ids=lambda path: path.name)
def test_no_parameter_is_named_as_dvc_metadata(path: Path) -> None:
    """DVC drops the keys `size` and `nfiles` from its run-cache hash and then restores stale outputs (dvc #10296)."""
    assert not {"size", "nfiles"} & set(keys_of(yaml.safe_load(path.read_text())))


def test_every_section_is_tracked_by_some_stage_or_steers_the_fan_out() -> None:
    tracked = {name.split(".")[0] for stage in DVC for name in definition(stage).get("params", [])}
    steering = set(re.findall(r"\$\{(\w+)[.\[}]", (REPOSITORY / "dvc.yaml").read_text())) - {"item", "key"}
    assert set(SECTIONS) - {"promotion"} == tracked | steering  # `dr-pipeline promote` reads that one, no stage does


def test_reports_are_owned_file_by_file() -> None:
    for stage in DVC:
        for kind in ("outs", "metrics", "plots"):
            for out in definition(stage).get(kind, []):
                path = out if isinstance(out, str) else next(iter(out))
                assert path not in ("reports", "data", "reports/"), f"{stage} would delete a whole folder"


def test_the_ground_truth_of_the_phantom_is_never_read() -> None:
    readers = [
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "dr_pipeline").rglob("*.py")
        if "ground_truth" in path.read_text()
    ]
    assert all(name.startswith(("dr_pipeline/intake/phantom/", "dr_pipeline/stages/phantom.py")) for name in readers)
