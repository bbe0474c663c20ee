"""URIs, and the parts of them that may be shown: no password is printed or recorded, however it was typed.

Secrets often contain the very characters that end a part of a URI (/ ? # @).  Such a URI has several readings.  It is refused,
and none of the readings is shown.  A part is shown only if it is known to be harmless.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

# Keys of a query that are shown, if their value matches `_VALUE`, in which no credentials can hide.
SHOWN = (
    *("region", "scheme", "endpoint_override", "anonymous", "allow_bucket_creation", "allow_bucket_deletion"),
    *("force_virtual_addressing", "role_arn", "tls_ca_file_path", "retry_limit_seconds", "project_id"),
    *("blob_storage_scheme", "dfs_storage_scheme", "replication", "buffer_size", "default_block_size"),
)
_VALUE = re.compile(r"[\w.:/%+-]*", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# the names that Azure allows for containers and accounts: no key in base 64 looks so
_CONTAINER = re.compile(r"[a-z0-9$][a-z0-9-]{2,62}")
_PORT = re.compile(r"^([^/?#:]+|\[[0-9A-Fa-f:.]+\]):[0-9]+(?=[/?#]|$)")
HIDDEN = "…"


@dataclass(frozen=True)
class Uri:
    """The parts of a URI that has one reading; ``user``, ``password`` and ``path`` are decoded.

    text : as typed.   query : keys and values as typed.
    """

    text: str
    scheme: str
    user: str
    password: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...]

    def hide(self, words: str) -> str:
        """The words of another library about this URI, without its secrets."""
        user = self.text.partition("://")[2].rpartition("@")[0]
        raw = [self.text, user, self.password]
        for key, value in self.query:
            named = value and re.fullmatch("[a-z_]+", key)  # otherwise the key may be part of a secret
            raw += [] if key in SHOWN else [value] if named else [key, value]
        for secret in sorted({*raw, *map(unquote, raw)}, key=len, reverse=True):
            words = words.replace(secret, HIDDEN) if secret else words
        return hide(words)


def is_uri(text: str) -> bool:
    """Whether a text names a place by a URI, not as a folder."""
    return "://" in text


def parsed(text: str) -> Uri:
    """The parts of a URI.  Raises ValueError for one that has several readings; the message holds nothing of the URI."""
    text = text.strip()
    if not (found := _SCHEME.match(text)):
        raise ValueError("a URI must begin with its scheme, without quotes, as s3://bucket/prefix")
    scheme, rest = found[0][:-3].lower(), text[found.end() :]
    base, _, query = rest.partition("?")
    authority, _, path = base.partition("/")
    credentials, at, host = authority.rpartition("@")
    doubtful = rest.count("@") > 1 if at else False
    if doubtful or _looks_secret(scheme, rest.rpartition("@")[2] if at else rest) or re.search(r"[#\s\x00-\x1f]", rest):
        raise ValueError(
            "has several readings; percent-encode / ? # @ : and blanks within key, secret and path"
            " (%2F %3F %23 %40 %3A %20), or leave credentials to the environment"
        )
    user, _, password = credentials.partition(":")
    pairs = tuple((key, value) for key, _, value in (item.partition("=") for item in query.split("&") if item))
    return Uri(text, scheme, unquote(user), unquote(password), host, unquote(path), pairs)


def shown(text: str) -> str:
    """A URI as it may be printed and recorded; any other text unchanged.

    Everything up to the last ``@`` is removed, for it may be user and password, and so is every part of the query that is
    not known to be harmless.  The container of ``abfs://container@account`` stays.
    """
    if not is_uri(text):
        return text
    found = _SCHEME.match(text.strip())
    if not found:
        return f"{HIDDEN}://{HIDDEN}"
    rest = text.strip()[found.end() :]
    kept = ""
    if _looks_secret(found[0][:-3].lower(), rest):
        before, at, rest = rest.rpartition("@")
        container = before.partition(":")[0]
        if found[0].lower().startswith("abfs") and _CONTAINER.fullmatch(container) and not set("/?#@") & set(before):
            kept = f"{container}@"
        if not at or set("?#&") & set(before) or _looks_secret(found[0][:-3].lower(), rest):
            return f"{found[0]}{HIDDEN}"
    base, _, query = rest.partition("#")[0].partition("?")
    pairs = [(item, *item.partition("=")) for item in query.split("&")]
    harmless = [item for item, key, _, value in pairs if key in SHOWN and _VALUE.fullmatch(value)]
    return found[0] + kept + "?".join(filter(None, (base, "&".join(harmless))))


def hide(line: str) -> str:
    """A message without the credentials of any URI in it."""
    said, rest = "", line
    while found := _SCHEME.search(rest):
        said += rest[: found.start()]
        rest = rest[found.start() :]
        whole = re.match(r"\S*?(?=[\s:;,.'\")\]]*(?:\s|$))", rest)
        uri = whole[0] if whole and len(whole[0]) >= len(found[0]) else found[0]
        after, clear = rest[len(uri) :], shown(uri)
        if (
            clear.endswith(HIDDEN) and not uri.endswith(HIDDEN) and "@" in after
        ):  # the credentials may go on behind a blank
            after = re.sub(r"^\S*", "", after.rpartition("@")[2])
        said, rest = said + clear, after
    return said + rest


def _looks_secret(scheme: str, rest: str) -> bool:
    """Whether credentials may follow the scheme: a user, or a colon that begins no port."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme == "file":
        return authority not in ("", "localhost")
    without_port = rest if scheme in ("s3", "gs", "gcs") else _PORT.sub("", rest, count=1)  # a bucket has no port
    base = without_port.partition("?")[0]
    return "@" in authority or ":" in base or re.search(r":.*@", rest, re.DOTALL) is not None
