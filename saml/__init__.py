"""The SAML service provider: metadata, requests, what a response must prove, logout."""
