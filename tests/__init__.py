"""The tests; they stand alone, need no network, and say in each docstring what holds."""
