"""What the doors on TCP show and ask for: mutual TLS 1.3 (see also the package's own lines)."""

from dataclasses import dataclass

import grpc


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What a server proves itself by, PEM. chain: its certificate, then those up to `authority`."""

    chain: bytes
    key: bytes
    authority: bytes


def server_credentials(identity: ServerIdentity, mutual: bool) -> grpc.ServerCredentials:
    """Return what a door is opened with. mutual: whether callers have to show a certificate as well."""
    return grpc.ssl_server_credentials(
        [(identity.key, identity.chain)],
        root_certificates=identity.authority if mutual else None,
        require_client_auth=mutual,
    )
