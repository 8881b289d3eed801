"""Where every epoch of a run is told: its folder, the table on the screen, the trackers."""

from collections.abc import Callable, Sequence

from trainers.fit import EpochRow
from trainers.live_table import LiveTable
from trainers.run_folder import RunFolder
from trainers.tracking.trackers import Tracker

__all__ = ["epoch_log"]


def epoch_log(folder: RunFolder, table: LiveTable, trackers: Sequence[Tracker]) -> Callable[[EpochRow], None]:
    """Makes the function that an epoch is told to."""

    def log(row: EpochRow) -> None:
        folder.log_epoch(row)
        table.epoch(row.head, row)
        for tracker in trackers:
            tracker.log(row.head, row)

    return log
