"""A proxy with HTTP's CONNECT, and a certificate for the provider behind it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def self_signed(directory: Path, host: str = "provider.example") -> tuple[ssl.SSLContext, Path]:
    """Return a server's TLS context for 127.0.0.1 and a name, and the file of its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake provider")])
    names = [x509.DNSName(host), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    trusted, own = directory / "certificate.pem", directory / "key.pem"
    trusted.write_bytes(certificate.public_bytes(pem))
    own.write_bytes(secret)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trusted, own)
    return context, trusted


class Tunnels:
    """Connects all tunnels to one port of this machine, and keeps the heads of the requests."""

    def __init__(self, port: int, answer: bytes = ESTABLISHED) -> None:
        self.heads: list[str] = []
        """The heads of the requests."""
        self.port = 0
        self._target = port
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            writer.write(self._answer)
            if self._answer is ESTABLISHED:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
                await asyncio.gather(copied(reader, far_writer), copied(far_reader, writer))
        writer.close()


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until the end."""
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def tunnelling(port: int, answer: bytes = ESTABLISHED) -> AsyncIterator[Tunnels]:
    """Start a proxy on a free port that connects to another port."""
    tunnels = Tunnels(port, answer)
    server = await asyncio.start_server(tunnels.serve, "127.0.0.1", 0)
    tunnels.port = server.sockets[0].getsockname()[1]
    try:
        yield tunnels
    finally:
        server.close()
