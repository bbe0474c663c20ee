"""What Hydra records of a composed config holds no credentials, whichever key or file they came from."""

from __future__ import annotations

from omegaconf import DictConfig

from gradcheck.experiment.config.hydra_private import rewrite_texts
from gradcheck.experiment.config.schema import SCIENCE
from gradcheck.uris import hide, is_uri


def without_credentials(cfg: DictConfig) -> None:
    """Hide the credentials of all texts of a config in it, but for those of scientific keys: they make numbers."""
    for key in list(cfg):
        if key not in SCIENCE:
            rewrite_texts(cfg, str(key), lambda text: hide(text) if is_uri(text) else text)
