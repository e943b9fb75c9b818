"""`recenter annotate`: prepares the store, says in words what is planned, and serves the judging app."""

from __future__ import annotations

import ipaddress
import math
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from recenter_utils.annotation import raters, saving
from recenter_utils.annotation.app import Guard, build
from recenter_utils.annotation.assignment import Rules
from recenter_utils.annotation.conduct import Codes, Conduct
from recenter_utils.annotation.links import KEY, Links, signing_key
from recenter_utils.annotation.options import Options, keep, kept
from recenter_utils.annotation.pages import Page
from recenter_utils.annotation.store import Store
from recenter_utils.annotation.tasks import find_task, task_pages
from recenter_utils.errors import RecenterError
from recenter_utils.study import Study

_LOCAL = ("localhost", "127.0.0.1", "::1")

#: Of the check items, the share that must be passed where there is a code for who fails and no share was given.
MIN_PASSED = 0.5


def annotate(
    study: Study,
    task: str,
    *,
    annotators: str | None = None,
    prolific: bool = False,
    codes: Codes | None = None,
    min_passed: float | None = None,
    per_item: int | None = None,
    overlap: int | None = None,
    cap: int | None = None,
    checks: int | None = None,
    reclaim_hours: float | None = None,
    file: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8765,
    public_url: str | None = None,
) -> None:
    """Serve the screens of a task until Ctrl-C. Arguments are the options of `recenter annotate`.

    Who judges what goes on by the options of the start before, but for those that are given now.

    Raises RecenterError where options do not fit together, the port is taken, or there is nothing to judge.
    """
    kind = find_task(task)
    codes = codes or Codes()
    given = any((codes.completion, codes.declined, codes.failed))
    if prolific and not codes.completion:
        raise RecenterError("--prolific needs --completion-code: Prolific's code for finished work.")
    if given and not prolific:
        raise RecenterError("Completion codes are for Prolific: add --prolific.")
    if min_passed is not None and not prolific:
        raise RecenterError("--min-passed is for participants from Prolific: add --prolific and --failed-code.")
    path = study.answers_path(kind.name)
    before = kept(path)
    options = Options(per_item, overlap, cap, reclaim_hours, checks, min_passed).or_else(before)
    if prolific and codes.failed and options.min_passed is None:
        options = replace(options, min_passed=MIN_PASSED)
    if prolific and options.min_passed and not codes.failed:
        raise RecenterError(
            f"--min-passed needs --failed-code: the code for who fails too many check items ({options.min_passed:.0%} "
            "must be passed)."
        )
    public = _public(public_url)
    key, passing = signing_key(_needs_key(host, prolific, public_url))
    k = options.per_item or study.settings.annotation.raters
    invited = raters.names(annotators) if annotators else [] if prolific else raters.names(str(k))
    # Pages of a file bring their own check items.
    pages = task_pages(study, kind, file, (checks if file else options.checks) or 0)
    rules = Rules(k, options.overlap or 0, options.cap, options.reclaim_hours)
    rules = _rules(rules, len(pages), len(invited), prolific)
    options = replace(options, per_item=k, overlap=rules.overlap, cap=rules.cap, checks=options.checks or 0)
    min_passed = options.min_passed if prolific else None
    conduct = Conduct(study.settings.title, kind, rules, prolific, codes, min_passed, path.parent)
    for text in ("consent", "instructions"):
        conduct.text(text)  # raises before anybody is invited
    listening = _listen(host, port)
    try:
        store = Store(path)
        with store.transaction():
            is_first = store.meta("task") is None
            found = store.prepare(kind.name, pages, kind.scale.task)
            raters.invite(store, invited)
            keep(store, options)
        links = Links(key, store.meta("store") or "")
        base = public or f"http://{_spelled(host)}:{listening.getsockname()[1]}"
        hosts = {urlsplit(base).hostname or "", *_LOCAL} if public or _is_local(host) else None
        notice = [
            *([] if is_first else _since(found, before, options)),
            *_notice(store, conduct, links, pages, invited, base, passing),
            *([] if public else _elsewhere(host, base)),
        ]
        _serve(build(store, conduct, links, hosts), listening, notice)
    finally:
        listening.close()
    print(f"Stopped. Every answer that was acknowledged is in {path}.")


class _Server(uvicorn.Server):
    """Says what there is to say once it answers and can be stopped, and not before."""

    notice: Sequence[str] = ()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print("\n".join(self.notice), flush=True)


def _serve(app: Guard, listening: socket.socket, notice: Sequence[str]) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,  # only warnings, on standard error
        access_log=False,  # addresses hold the personal links
        lifespan="on",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=3,
    )
    server = _Server(config)
    server.notice = notice
    with suppress(KeyboardInterrupt):  # asked to stop; by now it has
        server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as problem:
        raise RecenterError(
            f"{_spelled(host)}:{port} cannot be listened on ({_why(problem)}): is another server there? "
            "Choose another --port."
        ) from None
    except OverflowError:
        raise RecenterError(f"--port takes 0 to 65535, not {port}.") from None


def _why(problem: OSError) -> str:
    number = problem.errno or 0  # negative for names that cannot be looked up, which say why themselves
    return os.strerror(number) if number > 0 else str(problem.strerror)


def _rules(rules: Rules, pages: int, invited: int, prolific: bool) -> Rules:
    """Return checked rules; where more annotators are invited than a page needs, each gets a fair share."""
    if rules.overlap > pages:
        raise RecenterError(f"--overlap {rules.overlap} is more than there is: {_count(pages, 'page')}.")
    if rules.cap is not None and rules.cap < rules.overlap:
        raise RecenterError(f"--cap {rules.cap} is less than --overlap {rules.overlap}, which everybody gets.")
    if rules.cap is None and not prolific and invited > rules.per_item:
        share = math.ceil((pages - rules.overlap) * rules.per_item / invited)
        return replace(rules, cap=rules.overlap + share)
    return rules


def _needs_key(host: str, prolific: bool, public_url: str | None) -> str | None:
    if prolific:
        return "--prolific"
    if public_url:
        return "--public-url"
    return None if _is_local(host) else f"--host {host}"


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _spelled(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _public(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/") and parts.port != 0
        fits = fits and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        fits = False
    if not fits:
        raise RecenterError(f"--public-url takes an address such as https://judge.example.org, not '{url}'.")
    return url.rstrip("/")


def _notice(
    store: Store,
    conduct: Conduct,
    links: Links,
    pages: list[Page],
    invited: list[str],
    base: str,
    passing: bool,
) -> list[str]:
    """Return what the command prints: the plan in words, the links, and where answers are kept."""
    lines = _plan(conduct, pages, len(invited))
    width = max(map(len, invited), default=0)
    for name in invited:
        mine = saving.progress(store, name)
        total = sum(page.total for page in mine)
        state = f"{sum(page.done for page in mine)} of {total} answered" if total else "not started"
        lines.append(f"  {name:<{width}}  {state:<22}  {base}/a/{links.of_rater(name)}")
    if conduct.prolific:
        lines.append(f"  For Prolific: {base}/prolific, with PROLIFIC_PID, STUDY_ID and SESSION_ID as URL parameters")
    lines.append(f"  To watch the work: {base}/admin/{links.of_admin()}")
    lines.append(f"Answers are kept in {store.path}.")
    if passing:
        lines.append(f"{KEY} is not set: these links hold until the server stops; answers stay, new links go on.")
    return [*lines, "Ctrl-C stops the server."]


def _since(found: dict[str, int], before: Options, options: Options) -> list[str]:
    """Return what is not as it was at the start before, and the rules that hold now."""
    lines = []
    if any(found.values()):
        counts = ", ".join(f"{number:,} {what}" for what, number in found.items() if number)
        lines.append(f"Pages since the start before: {counts}. Answers to what changed or is gone stay on record.")
    if before not in (options, Options()):
        lines.append(f"The rules were {before}; from now on they are {options}.")
        return lines
    return [*lines, f"The rules are {options}, as before." if before == options else f"The rules are {options}."]


def _elsewhere(host: str, base: str) -> list[str]:
    """Return what to do with links that name no machine."""
    try:
        names_none = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        names_none = False
    if not names_none:
        return []
    return [f"For links that open on other machines, give --public-url: {base} names none that they could find."]


def _plan(conduct: Conduct, pages: list[Page], invited: int) -> list[str]:
    rules = conduct.rules
    items = [item for page in pages for item in page.items]
    checks = sum(item.expected is not None for item in items)
    shared = len(pages) - rules.overlap
    name = conduct.task.name.replace("_", " ").capitalize()
    what = f"{name}: {_count(len(pages), 'page')} with {_count(len(items), 'item')}"
    what += f" ({_count(checks, 'check item')} among them)" if checks else ""
    who = f"each page goes to {_count(rules.per_item, 'annotator')}"
    if rules.overlap:
        goes = "page goes" if rules.overlap == 1 else f"{rules.overlap:,} pages go"
        who = f"the first {goes} to everybody" + (f", then {who}" if shared else "")
    most = f"one person gets at most {_count(min(rules.cap, len(pages)), 'page')}" if rules.cap else ""
    lines = [f"{what}; {who}{'; ' + most if most else ''}."]
    each = min(rules.cap or len(pages), len(pages)) - rules.overlap
    if shared and each <= 0:
        lines.append(f"With --cap {rules.cap} nobody gets more than the first {_count(rules.overlap, 'page')}.")
    elif shared:
        needed = max(math.ceil(shared * rules.per_item / each), rules.per_item)
        lines.append(f"That takes {_count(needed, 'annotator')}.")
        if invited < needed and not conduct.prolific:
            are = "is" if invited == 1 else "are"
            lines.append(f"Only {_count(invited, 'annotator')} {are} invited: some pages will have fewer answers.")
    if conduct.min_passed is not None:
        lines.append(
            f"Who passes less than {conduct.min_passed:.0%} of the check items gets the code for that."
            if checks
            else "There are no check items on these pages, so nobody can fail them."
        )
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
