"""What the judging app refuses, in words for the person at the screen."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818
    """Something that the app does not do; it says why, and what to do instead.

    `status` is the HTTP status. `reload` says that the screen shows what is no longer so. `home` offers a link to where
    the annotator goes on.
    """

    def __init__(self, status: int, title: str, sentence: str, *, reload: bool = False, home: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.title = title
        self.sentence = sentence
        self.reload = reload
        self.home = home

    @classmethod
    def unknown_link(cls) -> Refusal:
        """Return the refusal of a link that is nobody's."""
        return cls(
            404,
            "This link leads nowhere",
            "It may have been cut or changed on the way, or be of another study. Please open the link that you were "
            "given once more, whole.",
        )
