"""Certificates for tests: an authority and those that it signs."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


class Pair(NamedTuple):
    """The PEM files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates and writes them to a directory; its own is `certificate`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._builder(self._name, self._key.public_key()).add_extension(x509.BasicConstraints(True, None), True)
        self.certificate = self._write(f"{name}.crt", own)

    def pair(self, common_name: str, address: str | None = None, *, password: bytes | None = None) -> Pair:
        """Create a certificate for a name and perhaps an IP address; a password encrypts its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        names: list[x509.GeneralName] = [x509.DNSName(common_name)]
        names += [x509.IPAddress(ipaddress.ip_address(address))] if address else []
        made = self._builder(subject, key.public_key()).add_extension(x509.SubjectAlternativeName(names), False)
        form = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form)
        path = self._directory / f"{common_name}.key"
        path.write_bytes(pem)
        return Pair(self._write(f"{common_name}.crt", made), path)

    def revocations(self, *revoked: Path) -> Path:
        """Write the list of revoked certificates."""
        now = dt.datetime.now(dt.UTC)
        made = x509.CertificateRevocationListBuilder(self._name, now - DAY, now + DAY)
        for path in revoked:
            serial = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY).build()
            made = made.add_revoked_certificate(entry)
        path = self._directory / "revoked.crl"
        path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        return made.serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + DAY)

    def _write(self, name: str, builder: x509.CertificateBuilder) -> Path:
        path = self._directory / name
        signed = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return path


def server_context(pair: Pair, clients: Path | None = None) -> ssl.SSLContext:
    """Build a server's TLS context; with an authority of clients it requires their certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.set_alpn_protocols(["postgresql"])
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
