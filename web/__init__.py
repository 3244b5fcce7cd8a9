"""What every HTTP edge shares: bearer tokens, limits, request ids, client addresses, headers. Knows no protocol."""
