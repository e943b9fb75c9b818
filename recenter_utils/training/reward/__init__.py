"""Reward models: one response is scored, and the difference of two scores is held to people's ratings (§6.3)."""
