"""The experiments of a tenant: odd names, tags, a description, one without runs, one deleted."""

from tests.support.tenant.builder import Builder


def add(build: Builder) -> None:
    """Creates the experiments; every server has ``Default`` already."""
    build.experiments["default"] = "0"
    build.client.set_experiment_tag("0", "owner", "everybody")
    note = {"mlflow.note.content": "# Churn\n\nWhat we *know* about «churn».", "team": "growth", "long": "x" * 5000}
    build.experiment("plain", "churn.model/2023 final", **note)
    build.experiment("quotes", """it's "quoted" / name""")
    build.experiment("emoji", "🚀 émigré 実験", キー="値")
    build.experiment("evaluation", "evaluation")
    build.experiment("empty", "no runs here", purpose="none")
    build.experiment("deleted", "was given up", why="budget")
    build.deleted_experiments.add("deleted")
