"""The order in which vLLM is asked: shared beginnings side by side, and what is long first."""

from __future__ import annotations

from collections.abc import Sequence

from recenter_utils.inference.requests import Request


def ordered(requests: Sequence[Request]) -> list[Request]:
    """Return the requests in the order in which they are best asked.

    Those with a shared beginning stand side by side, since vLLM computes a common prefix once. Such groups stand in
    buckets by length (each twice as long as the next), the longest first: what takes longest is then not what a run
    waits for at its end, and what does not fit is known at once.
    """
    texts = sorted(((_words(request), request) for request in requests), key=lambda pair: pair[0])
    groups: list[tuple[int, list[Request]]] = []
    before = None
    for words, request in texts:
        text = "".join(words)
        if before is not None and _belong_together(before, text):
            longest, group = groups[-1]
            group.append(request)
            groups[-1] = (max(longest, len(text)), group)
        else:
            groups.append((len(text), [request]))
        before = text
    groups.sort(key=lambda group: -group[0].bit_length())
    return [request for _, group in groups for request in group]


def _words(request: Request) -> list[str]:
    return [message["content"] for message in request.messages]


def _belong_together(one: str, other: str) -> bool:
    """Say whether two texts share at least the first half of the longer one."""
    half = (max(len(one), len(other)) + 1) // 2
    return one[:half] == other[:half]
