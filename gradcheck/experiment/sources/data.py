"""Where examples come from: ``DATA`` finds each source, a ``DataSource`` with its settings, by name."""

from dataclasses import dataclass

from numpy.typing import DTypeLike

from gradcheck.errors import Meaningless
from gradcheck.experiment.sources.file import File
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.images import Images
from gradcheck.experiment.sources.sequences import Sequences
from gradcheck.experiment.sources.shipped import Sklearn
from gradcheck.experiment.sources.text import Text
from gradcheck.experiment.sources.values import Values
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.target import NoTarget, Target


@dataclass
class NoData(DataSource):
    """No examples, for a model that is a function of its parameters alone."""

    def validate(self) -> None:
        pass

    def size(self, target: Target) -> tuple[int, int, int]:
        return 0, 0, 0

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if not isinstance(target, NoTarget):
            raise Meaningless("data=none: this model needs data, such as data=gaussian")
        return NO_BATCH


DATA: dict[str, type[DataSource]] = {
    "gaussian": Gaussian,
    "file": File,
    "sklearn": Sklearn,
    "values": Values,
    "images": Images,
    "sequences": Sequences,
    "text": Text,
    "none": NoData,
}
