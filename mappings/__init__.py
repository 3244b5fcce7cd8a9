"""From directory facts to access: catalogues, scopes, rules, decisions.

Pure; the caller brings text, facts and moments.
"""
