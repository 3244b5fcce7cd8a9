"""Log streams: what is sealed is sent to destinations, in its order and at least once."""
