"""Models whose gradient is written in steps, one of which a bug can take wrong."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import Model
from gradcheck.models.parts import TEXTBOOK, Parts

Array = np.ndarray


class Stepwise(Model):
    """A model whose gradient is made of the steps of ``Parts``."""

    @abstractmethod
    def gradient(self, theta: Array, batch: Batch, parts: Parts = TEXTBOOK) -> Array:
        """The textbook gradient of ``loss``, flat, in theta's dtype, made of ``parts``."""
