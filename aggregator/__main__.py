"""Starts the command line, as `aggregator` and as `python -m aggregator`.

Nothing is loaded before it is called: the processes that read documents load this module, too, and need no more of it.
"""

import gc


def main() -> None:
    """The command line, see cli.main."""
    # Hardly anything here refers to itself, so looking for garbage finds none: by Python's 700 it takes a seventh of
    # the start and a third of claiming 10,000 sources.
    gc.set_threshold(100_000, 10, 10)
    from aggregator.cli import main as command_line

    try:
        command_line()
    finally:
        gc.freeze()  # all goes with the process; Python would look through it once more, a seventh of the start


if __name__ == "__main__":
    main()
