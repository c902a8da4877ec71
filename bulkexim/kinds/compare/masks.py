"""What of two objects is not compared, and why: the fields that MLflow or bulkexim writes anew at the destination.

Besides these, whole fields are left out by not being among the facts of a kind: ids, artifact roots, times that the
server gives (creation, last update), and the user of a version, for MLflow's API cannot set any of them.
"""

from __future__ import annotations

from bulkexim.ids import DIGEST_TAG, IDENTITY_TAG, MARKER_TAG, PREFIX

#: Written about the move itself. The marker is what objects are paired by; the digest is not trusted here.
OF_THE_MOVE = frozenset({MARKER_TAG, DIGEST_TAG, IDENTITY_TAG})
#: Kept of the source, but moving there without any change of content: the time changes with every alias, and
#: addresses of a local store hold the port of the server that reads it.
MOVING = frozenset(PREFIX + "source." + key for key in ("last_updated_timestamp", "artifact_location", "source"))
#: Written by MLflow's web page when somebody looks at an experiment.
BY_LOOKING = frozenset({"mlflow.experimentKind"})
#: Written by MLflow itself: to a run with its name, to a logged model when a version of it is registered.
NAME_TAG = "mlflow.runName"
REGENERATED = frozenset({"mlflow.modelVersions"})
