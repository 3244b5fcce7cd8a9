"""The parts of the service, each by itself."""
