"""The flow: plan, lanes, apply, report."""
