"""How a pair classifier is trained: what verifier and selector share."""

from __future__ import annotations

from pydantic import Field

from recenter_utils.settings.section import Section


class Encoder(Section):
    """How a pair classifier is trained (Appendices E and F)."""

    base: str = Field(
        "all-MiniLM-L6-v2",
        description="Encoder to start from: a hub name, a folder as seen from the study's, or the embedded one.",
    )
    layers: int | None = Field(
        None,
        ge=1,
        description="First layers of the encoder that are kept and trained, on word vectors as they are: quicker, and "
        "worse. null: all of it.",
    )
    epochs: int = Field(10, ge=1, description="Passes over the training part; the best on validation is kept.")
    patience: int = Field(3, ge=1, description="Epochs without a better validation score before it stops.")
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate.")
    batch_size: int = Field(16, ge=1, description="Examples a step.")
