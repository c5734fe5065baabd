"""A chord that has the same ids each time it is sent: its parts may come from different sendings."""

from __future__ import annotations

from uuid import UUID, uuid5

from celery.canvas import Signature, _chord, group

_NAMESPACE = UUID("0b9f2a51-8c3e-5d0f-a1b6-4c7d2e9f3a60")


@Signature.register_type(name="steady_chord")
class SteadyChord(_chord):
    """Celery's chord, counted under an id that is made from its body's.

    A chord takes a group apart that it is given, and with it the group's id; where it is a part of another
    chord, it is counted under a new id each time it is sent (celery 5.7, `_chord.freeze`). Parts of two
    sendings would then fill two counters by halves.
    """

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.subtask_type = "steady_chord"
        self._steady()

    def freeze(self, *args: object, **options: object) -> object:
        """Give ids to all parts."""
        self._steady()
        return super().freeze(*args, **options)

    def _steady(self) -> None:
        header = self.kwargs["header"]
        if not isinstance(header, group):
            header = self.kwargs["header"] = group(header, app=self.app)
        header.options["task_id"] = str(uuid5(_NAMESPACE, self.body.options["task_id"]))
