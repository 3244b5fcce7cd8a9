"""Placeholder of the one module that knows xmlsec."""
