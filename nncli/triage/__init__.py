"""Triage: which cases go to a model, which to people, and how many people."""
