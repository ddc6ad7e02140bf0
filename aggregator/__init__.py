"""Follows one subject in the news: many sources in, every story once, one feed out."""
