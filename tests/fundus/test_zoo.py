"""Every hostile file through the pixel path: a picture or a reason, quickly, in little memory.

One child process with a limited address space takes them all and prints the result of each: a file on which a decoder
crashes, hangs or exhausts memory has no line.
"""

import json
import subprocess
import sys

import pytest

from tests.factories import REPOSITORY, zoo

pytestmark = pytest.mark.slow

# Processor seconds for one file: this machine may be busy with other things.
MAX_SECONDS = 5.0
# Above what the process has when all its libraries are loaded: pixels of a sound photograph need some 20 MiB.
MAX_ADDED_MIB = 400
_CHILD = """
import json, resource, sys, time
from pathlib import Path
from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.pixel_path import PixelPath
from tests.factories import zoo

path = PixelPath(256)
for sound in ("sound.dcm", "exif orientation 0.jpg"):  # loads every library
    path.process((Path(sys.argv[1]) / sound).read_bytes())
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for file in sorted(Path(sys.argv[1]).iterdir()):
    start = time.process_time()
    try:
        quality = path.process(file.read_bytes()).quality
        status, reason = quality.status.value, "; ".join(quality.reasons)
    except ImageError as error:
        status, reason = "failed", error.what
    except BaseException as error:
        status, reason = "raised", repr(error)
    line = {"name": file.name, "status": status, "reason": reason, "seconds": time.process_time() - start}
    print(json.dumps(line), flush=True)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    for name, file in zoo.hostile_files().items():
        (folder / name).write_bytes(file.data)
    command = [sys.executable, "-c", _CHILD, str(folder), str(MAX_ADDED_MIB)]
    child = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    assert lines, child.stderr[-2000:]
    return {line["name"]: line for line in lines}


def test_the_zoo_is_large_enough():
    assert len(zoo.hostile_files()) + len(zoo.NAMES) + len(zoo.ODDITIES) >= 40
    assert len(zoo.hostile_files()) >= 90


@pytest.mark.parametrize("name", sorted(zoo.hostile_files()))
def test_a_hostile_file_ends_in_a_status_with_a_reason(results, name):
    assert name in results, "the process died on it or on the one before"
    result = results[name]
    assert zoo.hostile_files()[name].accepts(result["status"], result["reason"]), result
    assert result["seconds"] <= MAX_SECONDS


def test_no_reason_names_a_patient(results):
    for secret in zoo.dicom_factory.SECRETS:
        assert not any(secret in result["reason"] for result in results.values())
