"""How an object of the source and the one at the destination are set side by side: a file for each kind."""
