"""The meaning: one file for each MLflow entity."""
