"""pydicom is loaded for DICOM only, and its warnings stay silent."""

import io
import subprocess
import sys

from tests.factories.dicom import PATIENT, dicom
from tests.factories.dicom_samples import PICTURE


def test_pydicom_is_loaded_for_dicom_only_and_logs_nothing(tmp_path):
    odd = io.BytesIO(dicom(PICTURE, **PATIENT | {"PatientBirthDate": "Zyxwvut"}))
    (tmp_path / "odd.dcm").write_bytes(odd.getvalue()[:-5000])
    program = (
        "import logging, pathlib, sys\n"
        "logging.basicConfig(level=0)\n"
        "from dr_pipeline.fundus.decode import decode\n"
        "from dr_pipeline.errors import ImageError\n"
        "assert 'pydicom' not in sys.modules and 'gdcm' not in sys.modules\n"
        "try:\n    decode(pathlib.Path(sys.argv[1]).read_bytes(), 64)\n"
        "except ImageError as error:\n    print(error.what)\n"
        "assert 'pydicom' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program, tmp_path / "odd.dcm"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("truncated DICOM file\n", "")
