"""The bare load generator: what moving a workload takes at least, with nothing kept, checked or repeated."""
