import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from dr_pipeline.clinic.node.tls import TlsFiles
from dr_pipeline.errors import DataError
from tests.factories.bundles import make_bundle
from tests.factories.clinic import archive, clinic_photograph, running_node, send, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and peer.pem with peer.key, which it certified for localhost."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl: absent")
    folder = tmp_path_factory.mktemp("tls")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for command in (
        f"req -x509 {new_key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2",
        f"req {new_key} -keyout peer.key -out peer.csr -subj /CN=localhost",
        "x509 -req -in peer.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out peer.pem -days 2 -extfile names",
    ):
        subprocess.run([openssl, *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


def files(folder: Path) -> TlsFiles:
    return TlsFiles(folder / "peer.pem", folder / "peer.key", folder / "ca.pem")


def test_both_ways_by_tls_and_nothing_without(tmp_path: Path, certificates: Path) -> None:
    tls = files(certificates)
    words = ["--tls-cert", tls.cert, "--tls-key", tls.key, "--tls-ca", tls.ca, "--send-tls"]
    with archive(tls=tls.server()) as pacs:
        destination = f"PACS@localhost:{pacs.port}"
        with running_node(tmp_path / "queue", make_bundle(tmp_path / "b"), destination, *map(str, words)) as node:
            photograph = clinic_photograph(1, side_px=160)
            unknown = ssl.create_default_context(cafile=certificates / "ca.pem")  # without a certificate of its own
            for refused in (None, (unknown, "localhost")):
                with pytest.raises(ConnectionRefusedError):
                    send(node.port, [photograph], tls=refused)
            assert send(node.port, [photograph], tls=(tls.client(), "localhost")) == [0]
            wait_until(lambda: len(pacs.received) == 1)


@pytest.mark.parametrize("broken", ["cert", "key", "ca"])
def test_files_that_cannot_be_used(tmp_path: Path, certificates: Path, broken: str) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    good = files(certificates)
    paths = {"cert": good.cert, "key": good.key, "ca": good.ca, broken: wrong}
    with pytest.raises(DataError, match="TLS"):
        TlsFiles(**paths).server()
