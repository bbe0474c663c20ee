"""What Hydra records of a composed config holds no credentials, whichever key or file they came from."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, ListConfig, ValueNode

from gradcheck.experiment.config import config
from gradcheck.uris import hide, is_uri


def without_credentials(cfg: DictConfig) -> None:
    """Hide the credentials of all texts of a config in it, but for those of scientific keys: they make numbers."""
    for key in list(cfg):
        if key not in config.SCIENCE:
            _hide(cfg._get_node(key, validate_access=False))


def _hide(node: Any) -> None:
    if isinstance(node, DictConfig | ListConfig):
        content = node._content
        if isinstance(content, str):  # an interpolation in place of a section
            return
        for child in content.values() if isinstance(content, dict) else content or ():
            _hide(child)
    elif isinstance(node, ValueNode) and isinstance(text := node._value(), str) and is_uri(text):
        node._val = hide(text)
