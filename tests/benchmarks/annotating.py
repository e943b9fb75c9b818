"""Speed of saving: fifty annotators at once on loopback, with the time that each click waits for its acknowledgement.

    python -m tests.benchmarks.annotating [--people 50] [--think 0.5] [--items 20]

The server is `recenter annotate` in a process of its own; the annotators share another. First they think between clicks
as people do (far less long), then not at all, which asks how many answers a second the server can put on the disk.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.crowd import crowd, percentile, serving, wrong_answers
from tests.judging import quality_pages
from tests.workspaces import new_workspace


def measure(people: int, think: float, items: int) -> None:
    """Let everybody judge three pages, and print how long their clicks waited."""
    with tempfile.TemporaryDirectory() as name:
        workspace = new_workspace(Path(name) / "workspace")
        options = ("--annotators", str(people), "--per-item", "3", "--cap", "3")
        with serving(workspace, quality_pages(people, items), *options) as server:
            annotators = crowd(server, think)

            async def work() -> None:
                await asyncio.gather(*(annotator.work() for annotator in annotators))

            began = time.perf_counter()
            asyncio.run(work())
            wall = time.perf_counter() - began
            server.end()
        waits = [wait for annotator in annotators for wait in annotator.waits]
        wrong = wrong_answers(server.store, annotators, all_of_them=True)
    p50, p95 = percentile(waits, 0.5), percentile(waits, 0.95)
    print(
        f"{people} annotators, {think:.1f} s between clicks: {len(waits):,} answers, {len(wrong)} wrong, "
        f"{len(waits) / wall:,.0f} a second, p50 {p50:.1f} ms, p95 {p95:.1f} ms, "
        f"longest {max(waits) * 1000:.0f} ms"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--think", type=float, default=0.5)
    parser.add_argument("--items", type=int, default=20)
    arguments = parser.parse_args()
    measure(arguments.people, arguments.think, arguments.items)
    measure(arguments.people, 0.0, arguments.items)
