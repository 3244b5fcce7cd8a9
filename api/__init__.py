"""What host applications call: the OpenID Provider that hands a signed-in person over to them."""
