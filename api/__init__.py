"""The way to host applications: an OpenID Provider. It knows nothing of SAML, it sees sessions only."""
