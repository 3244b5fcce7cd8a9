"""Outgoing HTTP, behind one guard of addresses."""
