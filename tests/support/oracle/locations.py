"""What a URI of files means: a folder of a run, a logged model, a model version, or a place MLflow does not manage."""

import re

from tests.support.oracle.snapshot import Snapshot

_RUN = re.compile(r"runs:/([^/]+)/?(.*)")
_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})/?(.*)")
_VERSION = re.compile(r"models:/(.+)/(\d+)")


class Locations:
    """Reads the URIs of one server; knows the artifact roots of its runs and logged models."""

    def __init__(self, server: Snapshot) -> None:
        self._roots = {run.info.artifact_uri: ("run", run_id) for run_id, run in server.runs.items()}
        self._roots |= {m.artifact_location: ("logged model", model_id) for model_id, m in server.logged_models.items()}

    def find(self, uri: str) -> tuple[str, str]:
        """The kind and id of what the URI is part of."""
        kind, name, _ = self.parse(uri)
        return kind, name

    def parse(self, uri: str) -> tuple[str, str, str]:
        """Kind, id and path below; the same for every way to write one location."""
        if found := _MODEL.fullmatch(uri):
            return "logged model", found[1], found[2]
        if found := _VERSION.fullmatch(uri):
            return "version", found[1], found[2]
        if found := _RUN.fullmatch(uri):
            return "run", found[1], found[2]
        parts = uri.split("/")
        for at in range(len(parts), 0, -1):
            if root := self._roots.get("/".join(parts[:at])):
                return *root, "/".join(parts[at:])
        return "elsewhere", uri, ""
