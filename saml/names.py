"""Names of XML elements and algorithms that messages are made of. Constants only."""

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
XML = "http://www.w3.org/XML/1998/namespace"

RESPONSE = f"{{{SAMLP}}}Response"
LOGOUT_REQUEST = f"{{{SAMLP}}}LogoutRequest"
LOGOUT_RESPONSE = f"{{{SAMLP}}}LogoutResponse"
EXTENSIONS = f"{{{SAMLP}}}Extensions"
STATUS = f"{{{SAMLP}}}Status"
STATUS_CODE = f"{{{SAMLP}}}StatusCode"
STATUS_MESSAGE = f"{{{SAMLP}}}StatusMessage"
SESSION_INDEX = f"{{{SAMLP}}}SessionIndex"

ISSUER = f"{{{SAML}}}Issuer"
ASSERTION = f"{{{SAML}}}Assertion"
ENCRYPTED_ASSERTION = f"{{{SAML}}}EncryptedAssertion"
ENCRYPTED_ID = f"{{{SAML}}}EncryptedID"
ENCRYPTED_ATTRIBUTE = f"{{{SAML}}}EncryptedAttribute"
SUBJECT = f"{{{SAML}}}Subject"
NAME_ID = f"{{{SAML}}}NameID"
SUBJECT_CONFIRMATION = f"{{{SAML}}}SubjectConfirmation"
SUBJECT_CONFIRMATION_DATA = f"{{{SAML}}}SubjectConfirmationData"
CONDITIONS = f"{{{SAML}}}Conditions"
AUDIENCE_RESTRICTION = f"{{{SAML}}}AudienceRestriction"
AUDIENCE = f"{{{SAML}}}Audience"
ONE_TIME_USE = f"{{{SAML}}}OneTimeUse"
PROXY_RESTRICTION = f"{{{SAML}}}ProxyRestriction"
ADVICE = f"{{{SAML}}}Advice"
AUTHN_STATEMENT = f"{{{SAML}}}AuthnStatement"
ATTRIBUTE_STATEMENT = f"{{{SAML}}}AttributeStatement"
AUTHZ_DECISION_STATEMENT = f"{{{SAML}}}AuthzDecisionStatement"
ATTRIBUTE = f"{{{SAML}}}Attribute"
ATTRIBUTE_VALUE = f"{{{SAML}}}AttributeValue"

SIGNATURE = f"{{{DS}}}Signature"
SIGNED_INFO = f"{{{DS}}}SignedInfo"
SIGNATURE_VALUE = f"{{{DS}}}SignatureValue"
CANONICALIZATION_METHOD = f"{{{DS}}}CanonicalizationMethod"
SIGNATURE_METHOD = f"{{{DS}}}SignatureMethod"
REFERENCE = f"{{{DS}}}Reference"
TRANSFORMS = f"{{{DS}}}Transforms"
TRANSFORM = f"{{{DS}}}Transform"
DIGEST_METHOD = f"{{{DS}}}DigestMethod"
DIGEST_VALUE = f"{{{DS}}}DigestValue"
KEY_INFO = f"{{{DS}}}KeyInfo"
X509_CERTIFICATE = f"{{{DS}}}X509Certificate"

ENCRYPTED_DATA = f"{{{XENC}}}EncryptedData"
ENCRYPTED_KEY = f"{{{XENC}}}EncryptedKey"
ENCRYPTION_METHOD = f"{{{XENC}}}EncryptionMethod"
CIPHER_DATA = f"{{{XENC}}}CipherData"
CIPHER_VALUE = f"{{{XENC}}}CipherValue"
MGF = f"{{{XENC11}}}MGF"

BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
RESPONDER = "urn:oasis:names:tc:SAML:2.0:status:Responder"
FORMAT_MAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
BINDING_POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
ENCODING_DEFLATE = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"

EXCLUSIVE_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
INCLUSIVE_NAMESPACES = f"{{{EXCLUSIVE_C14N}}}InclusiveNamespaces"
ENVELOPED = f"{DS}enveloped-signature"
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
RSA_SHA256 = f"{_MORE}rsa-sha256"
RSA_SHA384 = f"{_MORE}rsa-sha384"
RSA_SHA512 = f"{_MORE}rsa-sha512"
ECDSA_SHA256 = f"{_MORE}ecdsa-sha256"
ECDSA_SHA384 = f"{_MORE}ecdsa-sha384"
ECDSA_SHA512 = f"{_MORE}ecdsa-sha512"
PSS_SHA256 = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"
PSS_SHA384 = "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1"
PSS_SHA512 = "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1"
PSS_METHODS = frozenset({PSS_SHA256, PSS_SHA384, PSS_SHA512})
RSA_METHODS = PSS_METHODS | {RSA_SHA256, RSA_SHA384, RSA_SHA512}
EC_METHODS = frozenset({ECDSA_SHA256, ECDSA_SHA384, ECDSA_SHA512})
METHOD_DIGESTS = {
    **dict.fromkeys((RSA_SHA256, PSS_SHA256, ECDSA_SHA256), "sha256"),
    **dict.fromkeys((RSA_SHA384, PSS_SHA384, ECDSA_SHA384), "sha384"),
    **dict.fromkeys((RSA_SHA512, PSS_SHA512, ECDSA_SHA512), "sha512"),
}

# The names of hashlib, by the algorithm of a DigestMethod.
DIGESTS = {f"{XENC}sha256": "sha256", f"{_MORE}sha384": "sha384", f"{XENC}sha512": "sha512"}

# Octets of the key, by the cipher.
CIPHERS = {
    f"{XENC}aes128-cbc": 16,
    f"{XENC}aes192-cbc": 24,
    f"{XENC}aes256-cbc": 32,
    f"{XENC11}aes128-gcm": 16,
    f"{XENC11}aes192-gcm": 24,
    f"{XENC11}aes256-gcm": 32,
}
OAEP_MGF1P = f"{XENC}rsa-oaep-mgf1p"
OAEP = f"{XENC11}rsa-oaep"
# OAEP's own digest is no signature's digest: SHA-1 stays allowed here (XML Encryption 1.1 section 5.5.2).
OAEP_DIGESTS = {f"{DS}sha1": "sha1", **DIGESTS}
OAEP_MASKS = {f"{XENC11}mgf1sha1": "sha1", **{f"{XENC11}mgf1{name}": name for name in DIGESTS.values()}}
