"""Who may ask a service, and over what kind of line: bearer tokens and TLS.

A token is known by its SHA-256 alone once it is read; it stands in no log, error, repr or command line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

from orrery.errors import ForbiddenError, SettingsError, UnauthorizedError
from orrery.spec import Spec

ASK, MANAGE = "ask", "manage"
VARIABLE = "ORRERY_TOKENS"
"""Holds the tokens of a service, unless another variable is named."""
CHALLENGE = 'Bearer realm="orrery", Basic realm="orrery"'
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")  # RFC 6750, section 2.1
_FORM = "words like ask:TOKEN and manage:TOKEN, with spaces between them"


class Access(Spec):
    """How a service is reached. Tokens are in the environment, a certificate and its key in files.

    >>> Access(tokens_from="MY_TOKENS").tokens_from
    'MY_TOKENS'
    """

    tokens_from: str = VARIABLE
    """The environment variable with the tokens, words like ``ask:TOKEN`` and ``manage:TOKEN``."""
    certificate: str = ""
    """A PEM file with the certificate, and those between it and the root."""
    private_key: str = ""
    """A PEM file with the certificate's private key; left out where the certificate's file has it."""

    def tokens(self) -> Tokens | None:
        """The tokens; None where the variable is not set. Raises SettingsError."""
        text = os.environ.get(self.tokens_from)
        if text is None and self.tokens_from != VARIABLE:
            raise SettingsError(
                f"The environment variable {self.tokens_from!r} is not set.", hint=f"It holds {_FORM}."
            )
        return None if text is None else Tokens.read(text, self.tokens_from)

    def check(self) -> None:
        """Whether the certificate and the key can be used. Raises SettingsError."""
        if self.private_key and not self.certificate:
            raise SettingsError("A key needs a certificate.", hint="Name both: --certificate, --key.")
        for what, path in (("certificate", self.certificate), ("key", self.private_key)):
            try:
                if path:
                    Path(path).open("rb").close()
            except OSError as error:
                raise SettingsError(f"The {what} {path!r} cannot be read: {error.strerror}.") from None
        if self.certificate:
            self._load()

    def pem(self) -> tuple[bytes, bytes]:
        """The private key and the certificate, as gRPC takes them. Raises SettingsError."""
        self.check()
        return Path(self.private_key or self.certificate).read_bytes(), Path(self.certificate).read_bytes()

    def _load(self) -> None:
        def no_word() -> str:
            raise SettingsError(
                f"The key {self.private_key or self.certificate!r} has a password; it needs none."
            )

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.private_key or None, password=no_word)
        except ssl.SSLError as error:
            reason = "they do not belong together" if "MISMATCH" in (error.reason or "") else "no PEM files"
            raise SettingsError(
                f"The certificate {self.certificate!r} and the key {self.private_key or self.certificate!r} "
                f"cannot be used: {reason}.",
                hint="A certificate begins with -----BEGIN CERTIFICATE-----, a key with -----BEGIN PRIVATE",
            ) from None


class Tokens:
    """The tokens of a service by what they allow; one that may manage may ask too.

    >>> tokens = Tokens.read("ask:0123456789abcdef manage:fedcba9876543210", "HERE")
    >>> tokens.role("0123456789abcdef"), tokens.role("fedcba9876543210"), tokens.role("else")
    ('ask', 'manage', None)
    >>> tokens
    <Tokens: 1 to ask, 1 to manage>
    """

    def __init__(self, digests: Mapping[bytes, str]) -> None:
        self._digests = dict(digests)

    @classmethod
    def read(cls, text: str, variable: str) -> Tokens:
        """Tokens from a variable's text. Raises SettingsError, which does not repeat it."""
        digests: dict[bytes, str] = {}
        for number, word in enumerate(text.split(), 1):
            role, _, token = word.partition(":")
            if role not in (ASK, MANAGE) or not _TOKEN.fullmatch(token):
                raise SettingsError(
                    f"Word {number} of {variable} is no token of at least 16 letters and digits.",
                    hint=f"It holds {_FORM}; `openssl rand -hex 32` makes a token.",
                )
            digest = _digest(token)
            digests[digest] = MANAGE if MANAGE in (role, digests.get(digest)) else ASK
        if not digests:
            raise SettingsError(f"{variable} is empty: nobody could ask.", hint=f"It holds {_FORM}.")
        return cls(digests)

    def role(self, token: str) -> str | None:
        """What a token allows; None for one that is unknown. It takes as long, whichever it is."""
        asked, found = _digest(token), None
        for digest, role in self._digests.items():
            found = role if hmac.compare_digest(digest, asked) else found
        return found

    def check(self, header: Iterable[str]) -> str:
        """What a request allows, by its header ``Authorization``. Raises UnauthorizedError."""
        values = list(header)
        role = self.role(_token(values[0])) if len(values) == 1 else None
        if role is None:
            raise UnauthorizedError(
                "The request has no token that this service knows.",
                hint="Send it in a header: Authorization: Bearer TOKEN.",
            )
        return role

    def __repr__(self) -> str:
        roles = list(self._digests.values())
        return f"<Tokens: {roles.count(ASK)} to ask, {roles.count(MANAGE)} to manage>"


def check_manager(role: str) -> None:
    """Whether a role may change what is served. Raises ForbiddenError."""
    if role != MANAGE:
        raise ForbiddenError("This token may ask, and may not change what the service answers with.")


def is_exposed(address: str, access: Access, tokens: Tokens | None) -> bool:
    """Whether others on the network could ask, or read along.

    >>> is_exposed("0.0.0.0", Access(), None), is_exposed("127.0.0.1", Access(), None)
    (True, False)
    """
    if ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        return False
    return tokens is None or not access.certificate


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _token(header: str) -> str:
    """The token of a header: after ``Bearer``, or as the password of ``Basic``, which browsers ask for."""
    scheme, _, said = header.partition(" ")
    if scheme.lower() == "bearer":
        return said.strip()
    if scheme.lower() != "basic" or len(said) > 2_000:
        return ""
    try:
        return base64.b64decode(said.strip(), validate=True).decode("latin-1").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
