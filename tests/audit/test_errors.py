import audit.errors
from audit.errors import AuditError

CLASSES = [
    value
    for value in vars(audit.errors).values()
    if isinstance(value, type) and issubclass(value, AuditError)
]


def test_every_error_has_a_code_of_its_own() -> None:
    assert len({error.code for error in CLASSES}) == len(CLASSES)
