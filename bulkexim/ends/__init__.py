"""The ends: where objects come from and where they go."""
