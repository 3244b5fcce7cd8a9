"""Tests of the gates themselves."""
