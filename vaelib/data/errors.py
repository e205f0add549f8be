"""What goes wrong with data: one clear line that names the value, what was expected and what to do."""

__all__ = ["DataError", "MissingDataError"]


class DataError(ValueError):
    """Data that cannot be used: wrong content, shape, type or range."""


class MissingDataError(DataError):
    """A data set's file is neither on this machine nor to be downloaded; says where to get it and where to put it."""
