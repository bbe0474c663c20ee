"""Amazon's S3, and what speaks its protocol, opened from a URI with limits to the waiting."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from gradcheck.errors import BadInput
from gradcheck.uris import Uri

if TYPE_CHECKING:
    from pyarrow import fs

S3_OPTIONS = {
    "region": str,
    "scheme": str,
    "endpoint_override": str,
    "anonymous": bool,
    "allow_bucket_creation": bool,
    "allow_bucket_deletion": bool,
    "force_virtual_addressing": bool,
    "role_arn": str,
    "tls_ca_file_path": str,
}
# Seconds of each of three attempts: an address at which nobody answers is given up after half a minute.
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0


def opened(uri: Uri, shown: str) -> tuple[fs.S3FileSystem, str]:
    """Filesystem and path, as ``pyarrow.fs.FileSystem.from_uri`` gives them, with a limit to the waiting.

    shown : the URI without credentials.   Raises BadInput for an option that S3 has not.
    """
    from pyarrow import fs

    options: dict[str, str | bool] = {}
    for key, value in parse_qsl("&".join(f"{key}={value}" for key, value in uri.query), keep_blank_values=True):
        if key not in S3_OPTIONS:
            # what stands where a key should may be a secret
            named = key if value and re.fullmatch("[a-z_]{1,40}", key) else "what stands after the ?"
            raise BadInput(f"{shown}: {named} is no option; allowed: {', '.join(S3_OPTIONS)}")
        if S3_OPTIONS[key] is bool and value.lower() not in ("true", "false"):
            raise BadInput(f"{shown}: {key}={value if value.isalnum() else ''}: must be true or false")
        options[key] = value.lower() == "true" if S3_OPTIONS[key] is bool else value
    if uri.user or uri.password:
        options |= {"access_key": uri.user, "secret_key": uri.password}
    if not uri.host:
        raise BadInput(f"{shown}: must name a bucket and a prefix, s3://bucket/prefix")
    filesystem = fs.S3FileSystem(connect_timeout=CONNECT_SECONDS, request_timeout=ANSWER_SECONDS, **options)
    return filesystem, f"{uri.host}/{uri.path.strip('/')}".rstrip("/")
