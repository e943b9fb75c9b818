"""Personal links: who holds one is that annotator, and nobody can make one without the key."""

from __future__ import annotations

import hashlib
import os
import secrets

from itsdangerous import BadData, URLSafeSerializer

from recenter_utils.errors import RecenterError

KEY = "RECENTER_ANNOTATION_KEY"
_SHORTEST = 32


def signing_key(needed_for: str | None) -> tuple[str, bool]:
    """Return the key that signs links, and whether it was only drawn for this run.

    needed_for: what makes a lasting key necessary, in words; None where a key for this run will do.
    """
    key = os.environ.get(KEY, "")
    make = f'export {KEY}=$(python -c "import secrets; print(secrets.token_urlsafe(32))")'
    if key and len(key) < _SHORTEST:
        raise RecenterError(f"{KEY} has {len(key)} characters; it needs at least {_SHORTEST}. One way: {make}")
    if not key and needed_for:
        raise RecenterError(f"{needed_for} needs a lasting key to sign links with. Make one and keep it: {make}")
    return (key, False) if key else (secrets.token_urlsafe(32), True)


class Links:
    """Signs and reads the links of one store: a link of another task or study leads nowhere here."""

    def __init__(self, key: str, store: str) -> None:
        def signer(purpose: str) -> URLSafeSerializer:
            return URLSafeSerializer(
                key,
                salt=f"recenter annotation, {purpose}, {store}",
                signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
            )

        self._annotators = signer("annotator")
        self._admin = signer("admin")

    def of_rater(self, rater: str) -> str:
        """Return the token of an annotator."""
        return str(self._annotators.dumps(rater))

    def of_admin(self) -> str:
        """Return the token of whoever runs the study."""
        return str(self._admin.dumps("admin"))

    def rater(self, token: str) -> str | None:
        """Return whose token it is; None if it is nobody's."""
        return _read(self._annotators, token)

    def is_admin(self, token: str) -> bool:
        """Whether this opens the view of the whole study."""
        return _read(self._admin, token) == "admin"


def _read(signer: URLSafeSerializer, token: str) -> str | None:
    try:
        found = signer.loads(token)
    except BadData:
        return None
    # One link, one spelling: base64 leaves bits of the last character unread, and skips what it does not know.
    return found if isinstance(found, str) and signer.dumps(found) == token else None
