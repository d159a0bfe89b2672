"""What can go wrong, for callers to catch."""


class SiderealError(Exception):
    """An argument, a function or a campaign that cannot be used, in words for a person."""


class NotToBeTrusted(UserWarning):
    """A result that failed a check; the message has the reasons."""
