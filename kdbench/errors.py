"""The errors that reach a user, each with the exit code of the command line."""

from __future__ import annotations


class KdbenchError(Exception):
    """What happened, where, and what to do next, in one sentence.

    `exit_code` is what the command line returns when this error ends it.
    """

    exit_code = 2


class UnknownName(KdbenchError):
    """A name that no registry holds."""


class BadSpec(KdbenchError):
    """A pair, suite or plug-in whose description is wrong."""


class StoreError(KdbenchError):
    """The output folder cannot be used: unwritable, locked, full or damaged."""


class WeightsError(KdbenchError):
    """A weight file is missing, damaged, not the published one, or could not be fetched."""


class MissingWeights(WeightsError):
    """External weights are not on this machine: what is missing, where it was looked for, and how
    to get it, in three sentences or so; none of them names a user or a folder of a user.
    """

    def __init__(self, what: str, where: str, how: str) -> None:
        super().__init__(what, where, how)
        self.what, self.where, self.how = what, where, how

    def __str__(self) -> str:
        return f"{self.what} {self.where} {self.how}"


class Diverged(KdbenchError):
    """Training reached a non-finite loss or weight; the run becomes a record with this reason."""

    exit_code = 4


class NothingMeasured(KdbenchError):
    """No run was left to do, or none could be measured."""

    exit_code = 4
