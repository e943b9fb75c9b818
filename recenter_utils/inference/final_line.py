"""The line that ends an answer in free text, read strictly: what a model did not clearly say, it did not say."""

from __future__ import annotations

from dataclasses import dataclass

#: Raised by hand when another text is read, or read as something else: what was trained by it is out of date.
VERSION = 1

#: Characters of a wrong last line that are repeated to whoever looks for the fault.
SHOWN = 80


@dataclass(frozen=True)
class FinalLine:
    """A line of its own that holds `before` and one of two words, such as `Answer: YES`."""

    before: str
    yes: str
    no: str

    @property
    def lines(self) -> tuple[str, str]:
        """The two lines as they must stand."""
        return self.before + self.yes, self.before + self.no

    def read(self, text: str) -> tuple[str, bool]:
        """Return what stands before the last line, and whether that line says yes.

        The last line that is not blank must be one of the two, letter for letter, with nothing but white space
        around it. Bold marks, a full stop, another case or a further word are refused: whoever repairs an answer
        decides it. Thinking (`<think>…</think>`) is part of what stands before; a line inside thinking that was
        never closed is no answer.

        Raises:
            ValueError: The text does not end that way; the message says with what it ends.
        """
        body = text.rstrip()
        before, _, last = body.rpartition("\n")  # not splitlines(): a line separator in a sentence ends no line
        if last.strip() not in self.lines:
            shown = last.strip()
            shown = shown if len(shown) <= SHOWN else f"…{shown[-SHOWN:]}"
            raise ValueError(f"the last line is {shown!r} and not {' or '.join(map(repr, self.lines))}")
        if before.lstrip().startswith("<think>") and "</think>" not in before:
            raise ValueError("the thinking never ends")
        return before.strip(), last.strip() == self.lines[0]
