"""The demo: two servers of our own, MLflow's demo data and a model of twelve versions, moved and shown."""
