"""Certificates for tests, made by the openssl program when a test needs them."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate that signs itself, and its key, as PEM files."""

    certificate: Path
    key: Path

    def server(self, clients: "Certificate | None" = None) -> ssl.SSLContext:
        """The TLS of a server that shows it. clients: the certificate that those who connect must show."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients.certificate)
        return context


def self_signed(
    directory: Path, name: str, address: str = "127.0.0.1", host: str = "localhost"
) -> Certificate:
    """Make a certificate for an IP address and the name of a host, good for a day."""
    program = shutil.which("openssl")
    assert program is not None, "openssl is not installed: `make test` does it, or apt install openssl"
    made = Certificate(directory / f"{name}.crt", directory / f"{name}.key")
    what = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    whom = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{address},DNS:{host}"]
    where = ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run([program, *what, *whom, *where], check=True, capture_output=True)
    return made


def expired(directory: Path, of: Certificate) -> Certificate:
    """Make one for the same address and with the same key that was good until yesterday."""
    program = shutil.which("openssl")
    assert program is not None
    made = Certificate(directory / "expired.crt", of.key)
    what = ["x509", "-in", str(of.certificate), "-signkey", str(of.key), "-days", "-1"]
    subprocess.run([program, *what, "-out", str(made.certificate)], check=True, capture_output=True)
    return made
