"""Which version of the program runs."""

from importlib import metadata


def version() -> str:
    """The version that is installed; "0" where the program runs from its source without having been installed."""
    try:
        return metadata.version("aggregator")
    except metadata.PackageNotFoundError:
        return "0"
