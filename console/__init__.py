"""Pages for people: signing in, what went wrong, the test login, recovery. Views, forms and templates; no rules."""
