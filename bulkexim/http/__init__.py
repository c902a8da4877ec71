"""The wire: everything that speaks HTTP."""
