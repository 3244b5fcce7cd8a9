"""Composition root: settings, wiring, application factory, scheduler and command line."""
