"""Measurements, one JSON line each, against a bound. Run by `make bench`; never part of the tests."""
