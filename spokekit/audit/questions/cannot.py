"""Questions that people ask and that the OAuth scopes of the connection cannot answer, with the reason."""

from spokekit.audit.questions.registry import cannot

cannot(
    "inactive-seats",
    "Who holds a seat and was not seen for months?",
    "The last activity of a person is known to the organisation's admin API only, which takes an organisation API key "
    "and none of the scopes of an OAuth 2.0 (3LO) connection. The export of users on admin.atlassian.com has it.",
    number=4,
)
cannot(
    "who-granted-this",
    "Who granted this, or put this person into the group?",
    "Who acted is in the organisation's audit log, which these scopes do not open. When it happened is answered, "
    "between two snapshots, by membership-dates and changed-grants.",
    number=15,
)
cannot(
    "nested-groups",
    "Which groups are inside other groups?",
    "None: groups of Atlassian Cloud cannot hold groups. Memberships that an identity provider does not flatten are "
    "lost on the way, and only a comparison with the provider's own list shows them.",
    number=19,
)
cannot(
    "bulk-change",
    "How do I add or remove many people safely?",
    "This is a change and no question: the membership editor (notebook 06, spokekit members) takes a list, shows a "
    "preview, applies it to registered groups only, and can undo it.",
    number=20,
)
cannot(
    "organisation-admins",
    "Who are the organisation and site admins by role?",
    "No group stands for these roles, and the API that lists them needs an organisation API key. The groups that "
    "Confluence itself names as site admin groups are in the question admins.",
    number=17,
)
cannot(
    "managed-accounts",
    "Which accounts does the organisation manage?",
    "Whether an account is managed follows from the organisation's verified domains, which these scopes do not show.",
)
