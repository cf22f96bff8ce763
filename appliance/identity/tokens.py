"""The text of a token: what whoever holds it can turn into a certificate, once. Only its SHA-256 is kept."""

import base64
import hashlib
import secrets

BEGINNING = "kvmla1_"  # by which people, and programs that look for secrets, know one
MAX_TOKEN_BYTES = 128

_SECRET_BYTES = 32


def new_text() -> str:
    """Draw a token."""
    secret = base64.urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES))
    return BEGINNING + secret.rstrip(b"=").decode()


def digest_of(text: str) -> bytes:
    """Return what a token is known by. Of any text: who guesses learns nothing from what it looks like."""
    return hashlib.sha256(text.encode()).digest()
