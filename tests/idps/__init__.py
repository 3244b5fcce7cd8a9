"""Identity providers that others have written, for people to be signed in at by the tests."""
