"""Makes SAML messages, honest and hostile, without the library that reads them.

Signatures and ciphertexts are made with `cryptography` and lxml's canonicalisation, so that a fault of xmlsec
cannot be on both sides. Everything is deterministic, salts and seeds included: the same call gives the same bytes.
"""
