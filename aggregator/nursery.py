"""Loaded once by the process that reading processes come from: what tells languages, so that they all share it."""

from aggregator.language import detect_language

detect_language("A dozen letters of any text have the tables loaded.")
