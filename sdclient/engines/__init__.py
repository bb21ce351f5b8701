"""Engines start and stop worker loops; the loops pull their work from the run folder whatever started them."""
