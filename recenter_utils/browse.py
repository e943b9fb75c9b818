"""Looking through a study in JupyterLab: users, their attributes, the words these rest on, and who said what."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets as widgets
import polars as pl

from recenter_utils.attributes.snippets import snippets
from recenter_utils.explorer import cited
from recenter_utils.report import badge
from recenter_utils.study import Study

#: Tables of judgments on attributes, and on an attribute with a request or a response.
_ON_ATTRIBUTES = ("quality_judgments", "verifier_judgments")
_ON_PAIRS = ("relevance_judgments", "retrieval_judgments", "selector_judgments")
_STYLE = (
    "<style>.browse{max-width:60em}.browse td,.browse th{padding:.15em .7em;text-align:left;vertical-align:top}"
    ".browse .cited{border-left:3px solid #2c6e49;padding-left:.6em}.browse .turn{margin:.3em 0 .3em .3em}"
    ".origin{padding:.05em .5em;border-radius:.3em;font-size:.75em;font-weight:700;color:#fff;background:#a3341f}"
    ".origin-human{background:#2c6e49}.origin-model{background:#4b4f8f}.origin-published{background:#5c5c5c}</style>"
)


class Browser(widgets.VBox):
    """Three choices, each made from the one before: user, attribute, request; and what is known of them.

    A table that the study does not have yet is left out. Every text is shown as text.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._merged = study.frame("merged_attributes")
        self._attributes = study.frame("attributes")
        self._conversations = study.scan("conversations")  # all of them may not fit in memory
        self._pairs, self._prompts = (self._known(name) for name in ("pairs", "prompts"))
        self.user = widgets.Combobox(
            description="user", ensure_option=True, options=self._merged["user_id"].unique().sort().to_list()
        )
        self.attribute = widgets.Dropdown(description="attribute", layout={"width": "50em"})
        self.request = widgets.Dropdown(description="request", layout={"width": "50em"})
        self.about_attribute, self.about_request = widgets.HTML(), widgets.HTML()
        self.user.observe(self._choose_user, "value")
        self.attribute.observe(self._choose_attribute, "value")
        self.request.observe(self._choose_request, "value")
        opened = widgets.HTML(f"{_STYLE}<b>{html.escape(study.settings.title)}</b> {badge(study.origin)}")
        super().__init__([opened, self.user, self.attribute, self.about_attribute, self.request, self.about_request])
        if self.user.options:
            self.user.value = self.user.options[0]

    def _known(self, name: str, **only: str) -> pl.DataFrame | None:
        return self.study.scan(name).filter(**only).collect() if self.study.table_path(name).is_file() else None

    def _choose_user(self, _: object) -> None:
        own = self._merged.filter(user_id=self.user.value).sort("confidence", descending=True)
        self.attribute.options = [
            (f"{row['attribute']} ({row['confidence']:.2f})", row["attribute_id"]) for row in own.iter_rows(named=True)
        ]
        self.attribute.index = 0 if len(own) else None

    def _choose_attribute(self, _: object) -> None:
        chosen = self.attribute.value
        self.about_attribute.value = "" if chosen is None else self._attribute_page(chosen)
        paired = None if self._pairs is None else self._pairs.filter(attribute_id=chosen)
        options = []
        if paired is not None and self._prompts is not None:
            both = paired.join(self._prompts.select("prompt_id", "text"), on="prompt_id")
            options = list(both.select("text", "pair_id").iter_rows())
        self.request.options = options
        self.request.index = 0 if options else None

    def _choose_request(self, _: object) -> None:
        chosen = self.request.value
        self.about_request.value = "" if chosen is None else self._judgments(_ON_PAIRS, chosen)

    def _attribute_page(self, attribute: str) -> str:
        item = self._merged.filter(attribute_id=attribute)
        found = snippets(item, *cited(item, self._attributes, self._conversations), context=1).row(0, named=True)
        turns = "".join(_turn(turn, turn["turn"] in found["evidence_turns"]) for turn in found["snippet"])
        why = f"<p><b>Why it was read:</b> {html.escape(found['reason'])}</p>"
        return f'<div class="browse">{why}{turns}</div>{self._judgments(_ON_ATTRIBUTES, attribute)}'

    def _judgments(self, tables: Iterable[str], item: str) -> str:
        known = [frame for name in tables if (frame := self._known(name, item_id=item)) is not None]
        rows = "".join(
            f"<tr><td>{html.escape(row['rater'])}</td><td>{html.escape(row['rater_kind'])}</td>"
            f"<td>{html.escape(row['label'])}</td><td>{html.escape(row['reason'] or '')}</td></tr>"
            for frame in known
            for row in frame.iter_rows(named=True)
        )
        head = "<tr><th>who</th><th>what they are</th><th>said</th><th>because</th></tr>"
        return f'<table class="browse">{head}{rows}</table>' if rows else "<p>Nobody was asked about this.</p>"


def _turn(turn: Mapping[str, Any], cited: bool) -> str:
    words = f"<b>{html.escape(turn['role'])}</b> {html.escape(turn['content'])}"
    return f'<div class="turn{" cited" * cited}">{words}</div>'
