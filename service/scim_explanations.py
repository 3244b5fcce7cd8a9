"""Why an identity provider got the answer that it got, and what to do about it: the one table, for people.

`docs/guides/scim-errors.md` is rendered from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """One reason for an answer. `words` are parts of the `detail` that tell it from the others of its status."""

    status: int
    scim_type: str
    title: str
    meaning: str
    remedy: str
    words: tuple[str, ...] = ()


EXPLANATIONS = (
    Explanation(
        400,
        "invalidSyntax",
        "The body cannot be read",
        "The body is no JSON, is no object, gives a key twice, or is not built as the request needs it.",
        "This is the client's to mend: the detail names the place, and `usher scim show` has the body.",
    ),
    Explanation(
        400,
        "invalidFilter",
        "The filter cannot be used",
        "The filter has a syntax error, names an attribute that there is not, or compares in a way that the "
        "attribute does not allow.",
        "Check the matching attribute of the identity provider: `userName`, `externalId` and `emails.value` always "
        "work. The detail names the position.",
    ),
    Explanation(
        400,
        "invalidPath",
        "The path of a PATCH names nothing that there is",
        "A path is misspelt, or names an attribute that this service does not have.",
        "Take the attribute out of the mapping of the identity provider, or choose a profile that leaves unknown "
        "attributes out (every one but `strict`).",
    ),
    Explanation(
        400,
        "invalidValue",
        "The address is outside the verified domains",
        "The directory takes only people whose mail and userName are in a verified domain, and this one is not.",
        "Verify the domain (`usher organisation add-domain`), correct the address in the identity provider, or let "
        "the directory take foreign domains (`usher directory add-scim NAME --replace`).",
        words=("verified domains",),
    ),
    Explanation(
        400,
        "invalidValue",
        "A member of the group is not known here",
        "The group names an id that is no user and no group of this directory. Nothing of the request was applied.",
        "Make sure that the person is assigned to the application, so that the user is pushed before the group; then "
        "push the group again.",
        words=("neither users nor groups",),
    ),
    Explanation(
        400,
        "invalidValue",
        "A value does not fit",
        "A required value is missing, has the wrong kind, is too long, or cannot be stored.",
        "The detail names the attribute. Correct the value, or its mapping, in the identity provider.",
    ),
    Explanation(
        400,
        "noTarget",
        "A PATCH has nothing to work on",
        "A `remove` has no path, or the filter of a path matches no entry.",
        "Most clients mend this by a full push of the resource. A profile that creates unmatched entries (`generic`, "
        "`entra`) lets Entra's way of adding an entry pass.",
    ),
    Explanation(
        400,
        "mutability",
        "A read-only attribute was to be changed",
        "The client sent another value for something that only this service says, such as `id` or `groups`.",
        "Take the attribute out of the mapping of the identity provider.",
    ),
    Explanation(
        400,
        "tooMany",
        "The request asks for too much at once",
        "A filter or a list goes beyond what one request may ask for.",
        "Ask in parts; the limits stand in `ServiceProviderConfig`.",
    ),
    Explanation(
        400,
        "invalidVers",
        "The protocol's version is not known",
        "The client asked for another version of SCIM than 2.0.",
        "Set the identity provider to SCIM 2.0.",
    ),
    Explanation(
        400,
        "invalidCursor",
        "The cursor belongs to another question",
        "A cursor goes on with the very list that gave it: same directory, filter and order.",
        "The client begins again with an empty cursor.",
    ),
    Explanation(
        400,
        "expiredCursor",
        "The cursor is too old",
        "Cursors are good for an hour.",
        "The client begins again with an empty cursor.",
    ),
    Explanation(
        400,
        "invalidCount",
        "The page size has changed between two pages",
        "A cursor goes on with pages of the size that it began with.",
        "The client keeps `count` as it was, or begins again with an empty cursor.",
    ),
    Explanation(
        400,
        "",
        "The request contradicts itself",
        "The request is well formed, but asks for two things that exclude each other.",
        "The detail names them.",
    ),
    Explanation(
        401,
        "",
        "The token does not open this directory",
        "The token is missing, wrong, expired or revoked, or it belongs to another directory. Outwards these are the "
        "same, so that nobody learns by trying which it is.",
        "`usher token list` shows which tokens live, until when, and when they were last used. Create one "
        "(`usher token create`) and put it into the identity provider; check that the base URL is that of "
        "`usher directory status`.",
    ),
    Explanation(
        403,
        "",
        "There is no seat left",
        "All seats of the plan are used, so the person was not added. Nothing was stored.",
        "Free a seat, or change the plan (`usher organisation set-plan`); then push the person again. With the seat "
        "policy `waitlist` people are taken and wait for a seat instead.",
        words=("Seat limit reached",),
    ),
    Explanation(
        403,
        "",
        "The directory is paused",
        "An administrator has paused the directory. Nothing is taken, so that nothing is lost unseen.",
        "`usher directory resume NAME`, then let the identity provider push again.",
        words=("is paused",),
    ),
    Explanation(
        403,
        "",
        "The owner of the organisation is protected",
        "No directory deactivates, deletes or demotes the owner.",
        "Transfer the ownership first (`usher organisation transfer-owner`), or leave the owner in the directory.",
        words=("owner",),
    ),
    Explanation(
        403,
        "",
        "The discovery resources take no filter",
        "RFC 7644 section 4 forbids a filter on `ServiceProviderConfig`, `ResourceTypes` and `Schemas`.",
        "The client asks for all of them, or for one by its id.",
        words=("discovery",),
    ),
    Explanation(
        403,
        "sensitive",
        "Something stands in the address that must not",
        "What is secret must not stand in a URL, where logs and proxies keep it.",
        "The client searches by POST to `.search`.",
    ),
    Explanation(
        403,
        "",
        "The change is not allowed",
        "A rule of the organisation forbids the change.",
        "The detail says which.",
    ),
    Explanation(
        404,
        "",
        "There is no such resource",
        "The user or group was deleted, was never in this directory, or the path is misspelt. Identity providers "
        "also probe with ids that do not exist; then this is no fault.",
        "If the identity provider keeps sending it, remove the person or group from the application and assign it "
        "again, so that it is created anew.",
    ),
    Explanation(
        405,
        "",
        "The method is not possible here",
        "The address exists, but not for this method; the header `Allow` lists those there are.",
        "Check the base URL in the identity provider: it ends behind the directory's id.",
    ),
    Explanation(
        409,
        "uniqueness",
        "The name is taken",
        "Another live user has this `userName`, compared without regard to case; or, in the profile `entra`, another "
        "group this `displayName`.",
        "Let the identity provider match the present one (by `userName` or `externalId`) instead of creating "
        "another, or rename one of the two there.",
    ),
    Explanation(
        409,
        "",
        "The request conflicts with what is there",
        "A bulk request has a circle of references, or something else stands in the way.",
        "The detail says what. A circle is opened by creating one resource first, and adding the reference later.",
    ),
    Explanation(
        412,
        "",
        "The resource has changed meanwhile",
        "The client said by `If-Match` which version it knows, and there is a newer one.",
        "The client reads the resource again and repeats the change.",
    ),
    Explanation(
        413,
        "",
        "The request is too large",
        "A body may have 1 MiB, or 8 MiB for groups and bulk requests; a bulk request 1,000 operations.",
        "Set the identity provider to push in smaller parts.",
    ),
    Explanation(
        415,
        "",
        "The body has a media type that is not read",
        "Bodies are `application/scim+json` or `application/json`, in UTF-8.",
        "This is the client's to mend.",
    ),
    Explanation(
        429,
        "",
        "Too many requests",
        "The directory's limit stops loops; no identity provider that works as it should meets it. Requests without "
        "a good token have a small limit of their own.",
        "The header `Retry-After` says when to go on. If a provider really needs more: `USHER_SCIM_RATE`.",
    ),
    Explanation(
        501,
        "",
        "The service does not have this",
        "`/Me` speaks of the user who asks, but a token belongs to a directory.",
        "The client uses `/Users`.",
    ),
    Explanation(
        500,
        "",
        "Something went wrong here",
        "The service failed; nothing of the request was applied.",
        "The service's log has the reason under the request id. The identity provider tries again by itself.",
    ),
    Explanation(
        503,
        "",
        "The database does not answer",
        "The database was away, full or locked for too long; nothing of the request was applied.",
        "`usher doctor` says more. The identity provider tries again by itself.",
    ),
)
"""Every reason for an answer of 400 and above. Of one status and scimType, the one without words comes last."""


def explain(status: int, scim_type: str, detail: str) -> Explanation | None:
    """Why an answer is as it is; None for one that tells of no fault, or of none that we give."""
    for explanation in EXPLANATIONS:
        if (explanation.status, explanation.scim_type) == (status, scim_type) and (
            not explanation.words or any(word in detail for word in explanation.words)
        ):
            return explanation
    return None


def render_guide() -> str:
    """The page `docs/guides/scim-errors.md`."""
    return "\n".join(_guide_lines()) + "\n"


def _guide_lines() -> Iterator[str]:
    yield "# Why did my identity provider get this?"
    yield ""
    yield "Made from the table that `usher scim show REQUEST` answers by. The `detail` of an answer is in words of"
    yield "its own; identity providers show it as it stands. Find the request with `usher scim log --failed`."
    for explanation in EXPLANATIONS:
        scim_type = f" `{explanation.scim_type}`" if explanation.scim_type else ""
        yield ""
        yield f"## {explanation.status}{scim_type}: {explanation.title}"
        yield ""
        yield explanation.meaning
        yield ""
        yield f"**What to do.** {explanation.remedy}"
