"""The rows of the two product documents, typed from the documents and not from the catalogues."""
