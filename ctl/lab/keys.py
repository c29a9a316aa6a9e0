"""The lab's keys, under `machine.state()`: an SSH key for its hosts, a certificate authority for its registry."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ctl.core.errors import CtlError
from ctl.lab.machine import state

LIFETIME = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Authority:
    """The lab's certificate authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def login() -> tuple[Path, bytes]:
    """The private key's file and the line for authorized_keys; made on first use."""
    path = state() / "id_ed25519"
    if not path.exists():
        key = ed25519.Ed25519PrivateKey.generate()
        _keep(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" ctl-lab\n"
        path.with_suffix(".pub").write_bytes(public)
    return path, path.with_suffix(".pub").read_bytes()


def authority() -> Authority:
    """The certificate authority; made on first use."""
    key_file, certificate_file = state() / "authority.key", state() / "authority.crt"
    if not key_file.exists() or not certificate_file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("ctl lab authority")
        certificate = (
            _certificate(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        _keep(key_file, _pem(key))
    loaded = load_pem_private_key(key_file.read_bytes(), password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise CtlError(f"{key_file} is not a key of the lab's", hint=f"remove {key_file} and {certificate_file}")
    return Authority(x509.load_pem_x509_certificate(certificate_file.read_bytes()), loaded)


def server(signer: Authority, names: Iterable[str]) -> tuple[bytes, bytes]:
    """A new certificate for these DNS names and 127.0.0.1, and its key: both PEM."""
    wanted = sorted(set(names))
    key = ec.generate_private_key(ec.SECP256R1())
    san: list[x509.GeneralName] = [x509.DNSName(name) for name in wanted]
    san.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    certificate = (
        _certificate(_name("ctl lab registry"), signer.certificate.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName(san), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(signer.key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM), _pem(key)


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A day back: a clock that runs a little behind must not refuse it.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _keep(path: Path, secret: bytes) -> None:
    """Write a secret so that it is never readable to others, not even for a moment."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(secret)
