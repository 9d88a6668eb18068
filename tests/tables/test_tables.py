"""Each table of the pipeline: its columns, and a hand-written file that is read and written back byte for byte."""

from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.schema import Split, Status
from dr_pipeline.tables.canvas_index import CANVAS_INDEX
from dr_pipeline.tables.experiment import EXPERIMENT, SITES
from dr_pipeline.tables.gradability import GRADABILITY
from dr_pipeline.tables.graded import GRADED
from dr_pipeline.tables.history import HISTORY, LAYERS
from dr_pipeline.tables.manifest import MANIFEST, ManifestRow
from dr_pipeline.tables.out_of_fold import FOLD_LOGITS, OUT_OF_FOLD, OUT_OF_FOLD_LOGITS
from dr_pipeline.tables.predictions import PHOTOGRAPH_COLUMNS, PREDICTIONS
from dr_pipeline.tables.readings import READINGS
from dr_pipeline.tables.shifts import SHIFTS
from dr_pipeline.tables.splits import SPLITS, SplitRow, select_split
from dr_pipeline.tables.suspicious_labels import LABELLED_PREDICTIONS, SUSPICIOUS_LABELS
from dr_pipeline.tables.table import Table
from dr_pipeline.tables.tensors import TENSORS

_LOGITS = "logit0,logit1,logit2,logit3,logit4"
_P = "p0,p1,p2,p3,p4"
_FIVE = "0.100000,0.200000,0.300000,0.400000,0.000000"
_RESEARCH = "Research use only. Not a medical device."
FILES: dict[str, tuple[Table[Any], str]] = {
    "manifest": (
        MANIFEST,
        "schema_version,image_id,path,sha256,pixel_hash,perceptual_hash,patient_id,eye,visit,field,grade,referable,"
        "grader,site,camera,pixel_spacing_mm,official_split,width,height,source,role,duplicate_cluster,same_eye,excluded,"
        "exclusion_reason\n"
        "5,a,images/a.png,12,,,P1,left,1,macula,4,,R1; R2,hill,Topcon,0.0050,train,4288,2848,idrid,all,,e1,0,\n"
        '5,b,"images/b, c.png",,,,,,,,,1,,,,,,,,idrid,test,d1,,1,not a fundus\n',
    ),
    "readings": (READINGS, "schema_version,image_id,grader,grade\n1,a,R1,0\n1,a,R2,1\n"),
    "canvas_index": (
        CANVAS_INDEX,
        "schema_version,image_id,shard,status,reason,format,pixel_hash,perceptual_hash,width,height,disc_x,disc_y,"
        "disc_radius,disc_fit,disc_aspect,aspect_restored,annotation,quality,quality_spread,quality_reasons,"
        "camera,brightness,contrast,sharpness,red_over_green,blue_over_green\n"
        "5,a,shard-00000.tar,ungradable,dark,png,ab,cd,640,480,320.50,240.00,200.25,circle,0.7500,1,0,0.1234,0.0100,"
        "dark,Topcon NW400,61.25,0.024680,0.4321,1.8000,0.5000\n"
        "5,b,,failed,no image,,,,,,,,,,,,,,,,,,,,,\n",
    ),
    "splits": (
        SPLITS,
        "schema_version,image_id,patient_id,eye,visit,site,duplicate_cluster,group,grade,split,fold\n"
        "2,a,P1,left,1,hill,,patient:P1,2,development,0\n2,b,,,,,d1,photograph:b,0,test,\n",
    ),
    "gradability": (GRADABILITY, "schema_version,image_id,status,reason\n1,a,scored,\n1,b,ungradable,dark\n"),
    "graded": (
        GRADED,
        f"schema_version,image_id,patient_id,group,grade,{_LOGITS},{_P},expected_grade,predicted,predicted_locked,"
        "referable,referable_probability,needs_human,status\n"
        f"1,a,P1,patient:P1,3,-1.500000,0.000000,1.000000,2.000000,-0.000000,{_FIVE},2.000000,2,3,1,0.700000,0,scored\n",
    ),
    "predictions": (
        PREDICTIONS,
        f"schema_version,image_id,path,sha256,status,reason,duplicate_of,patient_id,eye,visit,birth_date_hash,"
        f"site,grade,{_P},expected_grade,referable,referable_probability,vision_threatening,needs_human,quality,width,height,disc_radius,camera,"
        "brightness,contrast,sharpness,red_over_green,blue_over_green,bundle_id\n"
        f"3,a,a.png,12,scored,,,P1,left,1,0a1b2c3d,hill,3,{_FIVE},2.0000,1,0.700000,1,0,0.5000,640,480,200.25,"
        "Topcon NW400,61.25,0.024680,0.4321,1.8000,0.5000,b1\n"
        "3,b,'=b.png,34,failed,no image,,,,,,,,,,,,,,,,,1,,,,,,,,,,,b1\n",
    ),
    "out_of_fold_logits": (OUT_OF_FOLD_LOGITS, f"schema_version,image_id,{_LOGITS}\n1,a,{_FIVE}\n"),
    "fold_logits": (
        FOLD_LOGITS,
        f"schema_version,part,camera,image_id,{_LOGITS}\n2,validation,,a,0.100000001,-2.5,1e-09,3,4\n"
        "2,outer,blur,b,1,2,3,4,5\n",
    ),
    "out_of_fold": (
        OUT_OF_FOLD,
        f"schema_version,image_id,patient_id,group,grade,fold,{_LOGITS},{_P},expected_grade,referable_probability,"
        f"predicted\n1,a,P1,patient:P1,3,1,{_FIVE},{_FIVE},2.000000,0.700000,3\n",
    ),
    "history": (
        HISTORY,
        "epoch,seconds,train_loss,validation_loss,validation_qwk,validation_qwk_error,learning_rate,images_per_s\n"
        "0,19.663,1.523496,2.312272,0.036886,0.05,0.0029945962328137895,29.8\n"
        "1,19.147,nan,2.791829,-0.5,0.0,1e-06,30.6\n",
    ),
    "layers": (
        LAYERS,
        "layer,kind,when,channels,dead_channels,mean,std,shift\n"
        "backbone.bn1,BatchNormAct2d,before,32,0,0.15401014754749148,0.21602544222060788,0.2417004304613625\n"
        "head,Linear,after,5,5,0.0,0.0,\n",
    ),
    "experiment_sites": (
        SITES,
        "schema_version,arm,protocol,site,training_photographs,validation_photographs,n,groups,qwk,qwk_low,qwk_high,"
        "referable_auc,referable_auc_low,referable_auc_high,accuracy,accuracy_low,accuracy_high,macro_auc,macro_auc_low,"
        "macro_auc_high,macro_auc_one_vs_one,macro_auc_one_vs_one_low,macro_auc_one_vs_one_high,macro_f1,macro_f1_low,"
        "macro_f1_high,research_use\n"
        "1,as_is,leave_one_site_out,hill,400,100,120,60,0.8000,0.7000,0.9000,,,,0.5000,0.4000,0.6000,0.7000,0.6000,0.8000,"
        f"0.7100,0.6100,0.8100,,,,{_RESEARCH}\n",
    ),
    "experiment": (
        EXPERIMENT,
        "schema_version,arm,qwk,qwk_low,qwk_high,referable_auc,referable_auc_low,referable_auc_high,accuracy,"
        "accuracy_low,accuracy_high,qwk_minus_first,qwk_minus_first_low,qwk_minus_first_high,camera_shift,shifted_qwk_minus_first,"
        "shifted_qwk_minus_first_low,shifted_qwk_minus_first_high,worst_camera,worst_camera_change,n,groups,folds,"
        "qwk_by_fold,epochs,input_px,parameters,training_seconds,training_images_per_s,inference_images_per_s,"
        "throughput_of,device,research_use\n"
        "3,good,0.7673,0.7253,0.8050,0.9469,0.9262,0.9666,0.5110,0.4623,0.5595,-0.0013,-0.0318,0.0277,1.0000,0.0630,0.0430,0.0830,blur,-0.1690,409,406,2,"
        f'0.760 0.774,8,224,3377413,274.2,24.12,104.61,"noise, 16 at once","CPU, 2 threads",{_RESEARCH}\n'
        f"3,timed,,,,,,,,,,,,,,,,,,,,,,,,224,3377413,,24.12,104.61,noise,CPU,{_RESEARCH}\n",
    ),
    "shifts": (
        SHIFTS,
        "schema_version,kind,family,level,strength,rejected,among,figure,n,value,low,high,change,change_low,"
        "change_high,research_use\n"
        f"1,clean,,,0.0000,0.0100,all,qwk,131,0.9000,0.8500,0.9400,,,,{_RESEARCH}\n"
        f"1,camera,blur,mild,0.3333,0.0200,all,qwk,131,0.8000,0.7500,0.8400,-0.1000,-0.1500,-0.0500,{_RESEARCH}\n",
    ),
    "suspicious_labels": (
        SUSPICIOUS_LABELS,
        f"schema_version,rank,image_id,grade,suggested,distance,margin,confident,{_P}\n"
        f"1,1,'=1+1,0,3,3,0.350000,1,{_FIVE}\n",
    ),
    "labelled_predictions": (LABELLED_PREDICTIONS, f"image_id,grade,{_P}\na,2,{_FIVE}\nb,,,,,,\n"),
    "tensors": (
        TENSORS,
        "tensor,status,shape_a,shape_b,max_abs,relative,cosine\n"
        "conv.weight,differs,3x3,3x3,0.5,inf,\nhead.bias,only in B,,5,,,\n",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_hand_written_file_comes_back_byte_for_byte(tmp_path: Path, name: str) -> None:
    table, text = FILES[name]
    path = tmp_path / f"{name}.csv"
    path.write_text(text, encoding="utf-8")
    rows = table.read(path)
    assert len(rows) == text.count("\n") - 1
    table.write(path, rows)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", [name for name, (table, _) in FILES.items() if table.version is not None])
def test_the_version_is_checked(tmp_path: Path, name: str) -> None:
    table, text = FILES[name]
    path = tmp_path / f"{name}.csv"
    path.write_text(text.replace(f"\n{table.version},", "\n99,"), encoding="utf-8")
    with pytest.raises(DataError, match="schema_version '99'"):
        table.read(path)


@pytest.mark.parametrize(("split", "fold"), [("test", "0"), ("development", "-1"), ("test", "x"), ("elsewhere", "")])
def test_split_and_fold_must_go_together(tmp_path: Path, split: str, fold: str) -> None:
    path = tmp_path / "splits.csv"
    SPLITS.write(path, [SplitRow(image_id="a", group="g", grade=1, split="test")])
    path.write_text(path.read_text().replace(",test,", f",{split},{fold}"))
    with pytest.raises(DataError, match="row 2"):
        SPLITS.read(path)


def test_layers_cannot_have_more_dead_channels_than_channels(tmp_path: Path) -> None:
    path = tmp_path / "layers.csv"
    path.write_text(FILES["layers"][1].replace(",5,5,", ",5,6,"))
    with pytest.raises(DataError, match="6 of 5 channels are dead"):
        LAYERS.read(path)


@pytest.mark.parametrize("texts", ["0.1,0.2,0.3,0.4,0.1", "-0.1,0.2,0.3,0.4,0.2", "0.1,0.2,0.3,0.4,x"])
def test_labelled_predictions_need_probabilities(tmp_path: Path, texts: str) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(f"image_id,grade,{_P}\na,2,{texts}\n")
    with pytest.raises(DataError, match="row 2"):
        LABELLED_PREDICTIONS.read(path)


def test_the_label_of_a_photograph_is_referable_by_its_grade_first() -> None:
    def label(grade: int | None, referable: bool | None) -> bool | None:
        return ManifestRow(image_id="a", path="a.png", grade=grade, referable=referable).is_referable

    assert [label(1, None), label(2, None), label(1, True), label(None, True), label(None, None)] == [
        False,
        True,
        False,
        True,
        None,
    ]


def test_the_answer_about_one_photograph_leaves_out_what_the_folder_adds() -> None:
    assert PHOTOGRAPH_COLUMNS[:3] == ("path", "sha256", "status")
    assert set(PREDICTIONS.columns) - set(PHOTOGRAPH_COLUMNS) == {
        "schema_version",
        "image_id",
        "duplicate_of",
        "patient_id",
        "eye",
        "visit",
        "birth_date_hash",
        "site",
    }


def _splits() -> list[SplitRow]:
    parts = {"a": ("test", None), "b": ("development", 0), "c": ("development", 1), "d": ("development", None)}
    return [SplitRow(image_id=k, group=k, grade=0, split=split, fold=fold) for k, (split, fold) in parts.items()]


def test_a_part_is_selected_by_split_and_fold() -> None:
    def names(split: Split, fold: int) -> str:
        return "".join(row.image_id for row in select_split(_splits(), split, fold))

    assert names(Split.TEST, 9) == "a"
    assert names(Split.VALIDATION, 1) == "c"
    assert names(Split.TRAIN, 1) == "bd"
    assert [row.part for row in _splits()] == ["test", "fold 0", "fold 1", "train"]


def test_a_fold_that_does_not_exist_and_an_empty_part_are_refused() -> None:
    with pytest.raises(DataError, match="there is no fold 2"):
        select_split(_splits(), Split.TRAIN, 2)
    with pytest.raises(DataError, match="the test part is empty"):
        select_split(_splits()[1:], Split.TEST, 0)


def test_an_examination_is_a_patient_at_one_visit() -> None:
    row = SplitRow(image_id="a", patient_id="P", visit="2", group="g", grade=0, split="test")
    assert row.examination == "P\0002"
    assert SplitRow(image_id="a", visit="2", group="g", grade=0, split="test").examination == ""


def test_statuses_are_typed(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    path.write_text(FILES["canvas_index"][1])
    first, second = CANVAS_INDEX.read(path)
    assert (first.status, first.width, first.disc_radius, first.annotation) == (Status.UNGRADABLE, 640, 200.25, False)
    assert (second.status, second.width, second.quality) == (Status.FAILED, None, None)
