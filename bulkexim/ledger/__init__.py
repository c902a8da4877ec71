"""The memory: what was meant, done and seen, in one SQLite file that survives a crash."""
