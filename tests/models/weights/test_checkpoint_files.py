"""Checkpoints of every layout, read without running anything."""

import argparse
import json
import subprocess
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.models.weights.checkpoint_files import (
    STATE_DICT_KEYS,
    checkpoint_files,
    checkpoint_sha256,
    read_tensors,
)


def read(path: Path) -> dict[str, Tensor]:
    return read_tensors(checkpoint_files(path))


def full(value: float) -> dict[str, Tensor]:
    return {"weight": torch.full((2, 3), value), "bias": torch.full((2,), value)}


def sharded(folder: Path) -> Path:
    """Two shards and their index, as Hugging Face's libraries write them."""
    save_file({"a.weight": torch.ones(2, 2)}, folder / "model-00001-of-00002.safetensors")
    save_file({"b.weight": torch.zeros(3), "b.bias": torch.ones(1)}, folder / "model-00002-of-00002.safetensors")
    placed = {
        "a.weight": "model-00001-of-00002.safetensors",
        "b.weight": "model-00002-of-00002.safetensors",
        "b.bias": "model-00002-of-00002.safetensors",
    }
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 32}, "weight_map": placed}))
    return index


@pytest.mark.parametrize("legacy", [False, True])
def test_a_torch_file_is_read_in_both_layouts(tmp_path: Path, legacy: bool) -> None:
    torch.save(full(2.0), tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    assert torch.equal(read(tmp_path / "w.pth")["weight"], full(2.0)["weight"])


def test_averaged_weights_come_first_then_the_declared_order(tmp_path: Path) -> None:
    checkpoint = {name: full(float(rank)) for rank, name in enumerate(STATE_DICT_KEYS)}
    for rank, name in enumerate(STATE_DICT_KEYS):  # each in turn is the first that is left
        torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, **checkpoint}, tmp_path / "w.pth")
        assert read(tmp_path / "w.pth")["bias"][0] == rank
        del checkpoint[name]
    assert [name for name in STATE_DICT_KEYS if "ema" in name] == list(STATE_DICT_KEYS[:4])


def test_an_empty_sub_dictionary_is_passed_over_and_nested_ones_are_entered(tmp_path: Path) -> None:
    torch.save({"state_dict_ema": None, "model_ema": {}, "model": {"state_dict": full(5.0)}}, tmp_path / "w.pth")
    assert read(tmp_path / "w.pth")["bias"][0] == 5


def test_a_dictionary_that_holds_itself_is_refused(tmp_path: Path) -> None:
    endless: dict[str, object] = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "w.pth")
    with pytest.raises(DataError, match="other entries than named tensors"):
        read(tmp_path / "w.pth")


def test_a_checkpoint_of_timms_training_script_is_read(tmp_path: Path) -> None:
    arguments = argparse.Namespace(model="resnet10t", lr=0.1)
    torch.save({"args": arguments, "state_dict": full(1.0), "state_dict_ema": full(2.0)}, tmp_path / "last.pth.tar")
    assert read(tmp_path / "last.pth.tar")["bias"][0] == 2


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code ran')",))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_payload_beside_the_weights_is_refused_by_name(tmp_path: Path, legacy: bool) -> None:
    checkpoint = {"state_dict": full(1.0), "args": Payload()}
    torch.save(checkpoint, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(DataError, match=r"refused.*\((builtins\.)?exec\)"):
        read(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 64, b"PK\x03\x04" + b"\0" * 60])
def test_a_broken_torch_file_is_an_error_and_no_accusation(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(DataError, match="not a weights file") as error:
        read(tmp_path / "w.pth")
    assert "weights_only" not in str(error.value)  # torch's own advice is to run the code


def test_a_torch_file_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(full(1.0), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read(path)


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "w.safetensors"])
def test_altered_bytes_give_an_error_or_tensors_and_nothing_else(tmp_path: Path, name: str) -> None:
    path, random = tmp_path / name, Random(1)
    if name == "w.safetensors":
        save_file(full(1.0), path)
    else:
        torch.save(full(1.0), path, _use_new_zipfile_serialization=name == "zip.pth")
    whole, refused = path.read_bytes(), 0
    for _ in range(200):
        altered = bytearray(whole)
        for _ in range(random.choice((1, 4, 16))):
            altered[random.randrange(len(altered))] = random.randrange(256)
        path.write_bytes(altered)
        try:
            tensors = read(path)
        except DataError:
            refused += 1
        else:
            assert all(isinstance(tensor, Tensor) for tensor in tensors.values())
    assert refused > 0


@pytest.mark.parametrize(
    ("content", "message"), [([1, 2], "list"), ({"epoch": 3, "lr": 0.1}, "first: epoch"), ({}, "dict")]
)
def test_a_file_without_tensors_names_its_content(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(DataError, match=message):
        read(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(3).to_sparse(),
        torch.eye(3).to_sparse_csr(),
        torch.empty(3, 3, device="meta"),
        torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8),
    ],
    ids=["sparse", "sparse rows", "meta", "quantised"],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support", "ignore:.*quantize_per_tensor", "ignore::UserWarning")
def test_a_tensor_that_is_no_array_of_numbers_is_named(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save({"fine": torch.ones(2), "conv.weight": tensor}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"1 of 2 tensors are sparse, quantised or without .*first: conv\.weight"):
        read_tensors((tmp_path / "w.pth",))


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    save_file(full(4.0), tmp_path / "e439d47a")
    assert read(tmp_path / "e439d47a")["bias"][0] == 4


@pytest.mark.parametrize("given", ["model.safetensors.index.json", ".", "link"])
def test_shards_are_read_as_one(tmp_path: Path, given: str) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    index = sharded(folder)
    (folder / "link").symlink_to(index)
    (folder / f"._{index.name}").write_bytes(b"a Mac's own")
    assert set(read(folder / given)) == {"a.weight", "b.weight", "b.bias"}


def test_the_hash_of_shards_is_what_the_shell_prints(tmp_path: Path) -> None:
    files = checkpoint_files(sharded(tmp_path))
    before = checkpoint_sha256(files)
    names = " ".join(file.name for file in files)
    shell = subprocess.run(f"sha256sum {names} | sha256sum", shell=True, cwd=tmp_path, capture_output=True, check=True)
    assert shell.stdout.decode().split()[0] == before
    save_file({"a.weight": torch.zeros(2, 2)}, tmp_path / "model-00001-of-00002.safetensors")
    assert checkpoint_sha256(files) != before


def test_shards_that_differ_from_their_index_are_refused(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    save_file({"c.weight": torch.ones(2, 2)}, tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(DataError, match=r"2 tensors of model-00001-of-00002.*a\.weight"):
        read(index)
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(DataError, match=r"1 of 2 shards are missing .*00001-of-00002"):
        read(index)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": ["a"]}']
)
def test_a_broken_index_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.safetensors.index.json").write_text(content)
    with pytest.raises(DataError, match="not an index"):
        read(tmp_path)


@pytest.mark.parametrize("shard", ["../w.safetensors", "/etc/passwd", "w.bin"])
def test_an_index_reaches_only_safetensors_beside_it(tmp_path: Path, shard: str) -> None:
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(DataError, match="refused"):
        read(tmp_path)


def test_a_folder_must_hold_one_index(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="0 indices"):
        read(tmp_path)
