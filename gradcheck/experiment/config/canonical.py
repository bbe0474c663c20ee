"""The one text of a config: what cells are told apart by, and what is recorded of them."""

from __future__ import annotations

import json

canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""JSON with sorted keys and without spaces; raises ValueError for NaN and inf."""
