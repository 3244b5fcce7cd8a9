"""The SCIM endpoint: HTTP and JSON into changes, stored rows into answers. Decides no role and no seat."""
