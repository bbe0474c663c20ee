"""The bug catalogue: mistakes that people make in a gradient, to see whether a check finds them.

Every bug is a dataclass of the same five settings (``param index magnitude fraction seed``) with ``gradient(model,
theta, batch)``, the wrong gradient; ``BUGS`` finds it by name.  ``output`` holds the mistakes in the finished gradient
of any model, ``backward`` and ``hidden`` those inside the backward pass, ``batch`` those with the examples and labels.
Each says in words and in symbols what is wrong; ``page`` writes that down for every model.
"""

from gradcheck.bugs.backward import (
    Broadcast,
    CoursePair,
    DoubleCount,
    DoubleL2,
    DoubleMean,
    DroppedBias,
    L2OnBias,
    MissingL2,
    MissingMean,
    MissingOutputDerivative,
    Transposed,
)
from gradcheck.bugs.base import BackwardBug, Bug, OutputBug
from gradcheck.bugs.batch import LabelFlip, OffByOne, StaleBatch
from gradcheck.bugs.hidden import ActivationDerivativeAtOutput, DetachedLayer, MissingActivationDerivative
from gradcheck.bugs.output import (
    AdditiveNoise,
    Clipped,
    Downcast,
    NoBug,
    RelativeNoise,
    Scale,
    SignFlip,
    SingleEntry,
    ZeroEntry,
    ZeroParam,
)

BUGS: dict[str, type[Bug]] = {
    bug.name: bug
    for bug in (
        NoBug,
        SignFlip,
        Scale,
        ZeroEntry,
        ZeroParam,
        SingleEntry,
        RelativeNoise,
        AdditiveNoise,
        Clipped,
        Downcast,
        MissingMean,
        DoubleMean,
        Transposed,
        DroppedBias,
        CoursePair,
        DoubleCount,
        MissingL2,
        DoubleL2,
        L2OnBias,
        Broadcast,
        MissingOutputDerivative,
        MissingActivationDerivative,
        ActivationDerivativeAtOutput,
        DetachedLayer,
        OffByOne,
        LabelFlip,
        StaleBatch,
    )
}

__all__ = ["BUGS", "BackwardBug", "Bug", "OutputBug"]
