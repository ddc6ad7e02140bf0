"""Every error a caller may want to catch: what happened, to what, what to do."""


class AggregatorError(Exception):
    """The base of all errors that are meant for a person; its text is one clear sentence or two."""


class ConfigError(AggregatorError):
    """The configuration, a topic pack, a seed set or an argument is wrong (exit status 2).

    `problems` holds one sentence for each mistake, so that all of them are seen at once.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class FeedError(AggregatorError):
    """A document could not be read as a feed; the text says what it was instead."""


class EngineError(AggregatorError):
    """A visit could not be made where visits are made: nobody is there, or the wrong program is."""


class StoreError(AggregatorError):
    """The database cannot be opened, is not ours, or is busy beyond patience."""


class PublishError(AggregatorError):
    """The published folder cannot be written; what stood there before still stands."""


class ServeError(AggregatorError):
    """The HTTP server cannot start, for example because the port is in use."""


class NotFoundError(AggregatorError):
    """An item, a story or a source that was asked for is not known; the text says where to look."""


class QueryError(AggregatorError):
    """What is looked for cannot be; the text says why, for the person who wrote it."""
