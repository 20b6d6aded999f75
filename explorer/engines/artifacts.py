"""The key of a stage → its artifact in the store; a stage's draft → the artifact, its execution on record."""

from __future__ import annotations

from pathlib import Path

from explorer.core.artifact import Artifact, V
from explorer.engines.context import EngineContext
from explorer.engines.executor import Executed
from explorer.engines.workers import Workers
from explorer.line.stage import A, P, Stage


class Artifacts:
    """The artifacts of a workspace, to an engine that adds to them."""

    def __init__(self, context: EngineContext, workers: Workers) -> None:
        self._store, self._records, self._cores = context.store, context.records, workers.cores
        self._observer = context.observer

    def find(self, stage: Stage[P, A, V], key: str) -> Artifact[V] | None:
        """Return the stage's artifact if it is in the store."""
        # Verifying digests is a computation, too. The cores must not be held while waiting for a key: the thread that
        # builds that key may itself be waiting for a measurement to end.
        with self._cores.computing():
            return self._store.find(stage.name, key)

    def sound(self, stage: Stage[P, A, V], key: str) -> Artifact[V] | None:
        """Return the stage's artifact likewise; one that is damaged is said and removed, as if it had not been there.

        The caller holds ``locked(key)``.
        """
        if artifact := self.find(stage, key):
            return artifact
        if damage := self._store.damage(stage.name, key):
            self._observer.note(f"corrupt artifact, rebuilding it: {damage}")
            self._store.clear(stage.name, key)
        return None

    def publish(self, stage: Stage[P, A, V], key: str, draft: Path, done: Executed) -> Artifact[V]:
        """Publish an artifact and then count its execution: killed in between, one is not counted rather than lost."""
        artifact = self._store.publish(stage.name, key, draft, done.values, done.seconds)
        self._records.executions.add(stage.name, key, done.seconds)
        return artifact
