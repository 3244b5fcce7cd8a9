"""Gates and set-up steps that the Makefile runs; never part of the product."""
