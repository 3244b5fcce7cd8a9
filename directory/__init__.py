"""Directory facts: who exists and in which groups, as one directory said it. Pure; knows no roles and no wire."""
