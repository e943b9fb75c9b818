"""Models trained on what people answered."""
