"""What a browser sends: fields of a form and numbers in an address, read strictly."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from recenter_utils.annotation.refusals import Refusal

#: Bytes in a form: the longest note, each of its characters four bytes that are spelled in three, with room to spare.
LARGEST = 64 * 1024

#: Seconds for a form to arrive.
PATIENCE = 30.0

#: Numbers in an address: long enough for any study, short enough for the database.
_NUMBER = 9


def number(request: Request, name: str) -> int:
    """Return a number of an address, or refuse."""
    said = request.path_params[name]
    if not (said.isascii() and said.isdigit() and len(said) <= _NUMBER):
        raise Refusal(404, "There is no such page", "This page is not one of yours.", home=True)
    return int(said)


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a form, or refuse; of a field that comes twice, none is taken for the true one."""
    try:
        async with asyncio.timeout(PATIENCE):
            body = await _body(request)
    except (ClientDisconnect, TimeoutError):
        raise Refusal(400, "That did not arrive", "What was sent did not arrive whole. Please try again.") from None
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=10)
    except (ValueError, UnicodeError):
        raise Refusal(400, "That is no answer", "The app did not understand what was sent.") from None
    if len(dict(fields)) < len(fields):
        raise Refusal(400, "That is no answer", "The app did not understand what was sent.")
    return dict(fields)


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise Refusal(413, "This is too long", "What was sent is longer than any answer can be.")
    return body
