"""Whole journeys at the command line: what is answered, what is stored, and the exact list of events."""
