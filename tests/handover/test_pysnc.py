"""A foreign client, ServiceNow's own PySNC, reads the practice instance over https and finds what was handed over."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from spokekit._secret import Secret
from spokekit.connections.store import Store
from spokekit.handover import HandOver, SignIn
from spokekit.handover import records as rec
from spokekit.practice import PracticeInstance
from tests.handover.test_compare import one_plan

pysnc = pytest.importorskip("pysnc", reason="pysnc is not installed: pip install -e '.[test]'")


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Make a certificate for this computer that whoever asks here trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "practice instance")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(variable, str(cert))
    return cert, secret


def test_pysnc_finds_the_records_that_were_written(certificate: tuple[Path, Path]) -> None:
    with PracticeInstance(certificate=certificate) as instance:
        assert instance.url.startswith("https://")
        plan = one_plan(instance)
        store = Store("sqlite://")
        sign_in = SignIn("oauth", Secret(instance.client_secret), instance.client_id)
        hand_over = HandOver(store, instance.url, sign_in, pace=10_000)
        preview = hand_over.preview(plan)
        assert hand_over.apply(preview, confirm=preview.confirmation).finished
        store.close()
        flow = pysnc.auth.ServiceNowClientCredentialsFlow(instance.client_id, instance.client_secret)
        client = pysnc.ServiceNowClient(instance.url.rstrip("/"), flow)
        for table in rec.LOAD_ORDER:
            record = client.GlideRecord(table, batch_size=3)
            record.query()
            assert record.get_row_count() == len(instance.data.rows[table])
            found = {str(one.sys_id): one.serialize() for one in record}
            assert set(found) == set(instance.data.rows[table])
            for key, row in instance.data.rows[table].items():
                assert {column: found[key][column] for column in rec.COLUMNS[table] if column in found[key]} == {
                    column: row.get(column, "") for column in rec.COLUMNS[table] if column in found[key]
                }
        one = client.GlideRecord("http_connection")
        assert one.get("name", "Berlin")
        assert str(one.connection_url) == "https://api.atlassian.com/"
        client.session.close()
