"""Campaigns: migrations under kills and faults, by the hundred; tests run slices of them, ``bench`` the whole."""
