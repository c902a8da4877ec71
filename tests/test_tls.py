"""Certificates: checked unless we are told not to, and ours shown where the server asks for one."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.tls import TLSListener
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bulkexim.config import Endpoint
from bulkexim.ends.server import connected
from bulkexim.errors import FatalError, UsageError
from tests.tiny_server import Seen, TinyServer, Wire

pytestmark = pytest.mark.anyio


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that nobody but itself vouches for, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


async def _like_mlflow(seen: Seen, wire: Wire) -> None:
    await wire.reply(b"3.17.2" if seen.target == "/version" else b"{}", "200 OK", "content-type: application/json")


@asynccontextmanager
async def serving(certificate: Path, *, wants_ours: bool = False) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    if wants_ours:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate)
    listeners = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listeners.extra(SocketAttribute.local_port)
    tiny = TinyServer(port, _like_mlflow)
    async with anyio.create_task_group() as tasks:
        listener = TLSListener(listeners, context, standard_compatible=False)
        tasks.start_soon(partial(listener.serve, lambda stream: tiny.serve(cast("SocketStream", stream))))
        yield f"https://localhost:{port}"
        tasks.cancel_scope.cancel()


async def version(endpoint: Endpoint) -> str:
    async with connected(endpoint, "source") as server:
        return server.capabilities.text


async def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(certificate: Path) -> None:
    async with serving(certificate) as url:
        with pytest.raises(FatalError, match="no trust"):
            await version(Endpoint(uri=url))


async def test_it_is_accepted_from_the_authority_that_the_user_names(certificate: Path) -> None:
    async with serving(certificate) as url:
        assert await version(Endpoint(uri=url, server_cert_path=str(certificate))) == "3.17.2"


async def test_checking_can_be_switched_off(certificate: Path) -> None:
    async with serving(certificate) as url:
        assert await version(Endpoint(uri=url, insecure_tls=True)) == "3.17.2"


async def test_a_server_that_wants_our_certificate_gets_it(certificate: Path) -> None:
    async with serving(certificate, wants_ours=True) as url:
        ours = Endpoint(uri=url, server_cert_path=str(certificate), client_cert_path=str(certificate))
        assert await version(ours) == "3.17.2"


async def test_a_certificate_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.pem"):
        await version(Endpoint(uri="https://localhost:1", server_cert_path=str(tmp_path / "nothing.pem")))
