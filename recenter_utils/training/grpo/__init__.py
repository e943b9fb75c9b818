"""A reasoning model trained with GRPO."""
