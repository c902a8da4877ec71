"""The goals, a module for those that are measured together."""
