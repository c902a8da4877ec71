"""The bytes: how artifacts are reached and copied."""
