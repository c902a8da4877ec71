"""The door: click commands that parse, call and print."""
