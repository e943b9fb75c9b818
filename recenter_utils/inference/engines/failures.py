"""What a server's failure means: for the row, for the next try, for the whole run."""

from __future__ import annotations

import email.utils
import math
import re
import time
from typing import Any

import aiohttp
import openai

from recenter_utils.inference.requests import ErrorKind

#: A server that asks for more patience than this, in seconds, is asked sooner.
LONGEST_PAUSE = 60.0

_TOO_LONG = re.compile(
    r"context.?(length|window|limit|size)|maximum (context|model) length|max_model_len|too long|reduce the length", re.I
)
_REFUSED = re.compile(r"content.?(policy|filter|management)|usage polic|moderation|flagged|invalid_prompt", re.I)
_LOGPROBS = re.compile(r"log.?prob", re.I)


def kind_of(status: int, said: str) -> ErrorKind:
    """Return the row's error for an HTTP status and the words that came with it."""
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(said)):
        return "context_length"
    return "refused" if status in (400, 403, 422) and _REFUSED.search(said) else "server"


def minds_logprobs(status: int, said: str, graded: bool) -> bool:
    """Tell whether a server refuses log-probabilities, and not the request.

    graded: it is known to give them, so that a refusal in other words is about something else.
    """
    if kind_of(status, said) != "server" or status in (401, 402, 429):
        return False
    # Some servers answer what they do not know with 404 or 500: the words count for more than the number.
    return bool(_LOGPROBS.search(said)) or (status in (400, 422) and not graded)


def words(problem: openai.APIStatusError) -> str:
    """Return code and message of an error answer, whatever its shape."""
    body = problem.body
    if isinstance(body, dict):
        code, message = body.get("code"), body.get("message")
        return " ".join(str(part) for part in (code, message) if part) if message else str(body)
    return str(body or problem.message)


def out_of_money(problem: openai.APIStatusError) -> bool:
    """Tell a spent account from a fast one: both are answered with 429."""
    return problem.status_code == 402 or (problem.status_code == 429 and "insufficient_quota" in words(problem))


def is_passing(problem: Exception) -> bool:
    """Tell whether another try may succeed."""
    if isinstance(problem, openai.APIStatusError):
        return not out_of_money(problem) and (problem.status_code in (408, 409, 429) or problem.status_code >= 500)
    return True


def told_to_wait(problem: Exception) -> float | None:
    """Return the seconds of a Retry-After header, which may be a number or a date."""
    value = problem.response.headers.get("retry-after") if isinstance(problem, openai.APIStatusError) else None
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_PAUSE) if math.isfinite(seconds) else None


def root(problem: BaseException) -> BaseException:
    """Return what lies under a client's exception.

    The client's aiohttp transport calls a refused or cut connection a timeout; only the cause knows better.
    """
    while problem.__cause__ is not None and not isinstance(problem, aiohttp.ClientError | TimeoutError):
        problem = problem.__cause__
    return problem


def nobody_listens(problem: Exception) -> bool:
    """Tell whether no connection came about at all."""
    return isinstance(root(problem), aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def count(usage: Any, name: str) -> int:
    """Return a number of tokens as a server told it; 0 where it is none."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and 0 < value < 2**31 else 0
