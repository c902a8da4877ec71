"""What the tests share: real servers, a tenant with every awkward case, and the oracle that compares two servers."""
