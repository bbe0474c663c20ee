"""The bug catalogue: mistakes that people make in a gradient, to see whether a check finds them.

Every bug is a dataclass of the same five settings (``param index magnitude fraction seed``) with ``gradient(model,
theta, batch)``, the wrong gradient; ``BUGS`` finds it by name.  ``output`` holds the mistakes in the finished gradient
of any model, ``backward`` and ``hidden`` those inside the backward pass of any net, ``images``, ``norms``,
``recurrence`` and ``attention`` those of single layers, ``batch`` those with the examples and labels.
Each says in words and in symbols what is wrong; ``page`` writes that down for every model.
"""

from gradcheck.bugs.attention import ATTENTION_BUGS
from gradcheck.bugs.backward import BACKWARD_BUGS
from gradcheck.bugs.base import Bug
from gradcheck.bugs.batch import BATCH_BUGS
from gradcheck.bugs.hidden import HIDDEN_BUGS
from gradcheck.bugs.images import IMAGE_BUGS
from gradcheck.bugs.norms import NORM_BUGS
from gradcheck.bugs.output import OUTPUT_BUGS
from gradcheck.bugs.recurrence import RECURRENCE_BUGS

BUGS: dict[str, type[Bug]] = {
    bug.name: bug
    for bugs in (
        OUTPUT_BUGS,
        BACKWARD_BUGS,
        HIDDEN_BUGS,
        BATCH_BUGS,
        IMAGE_BUGS,
        NORM_BUGS,
        RECURRENCE_BUGS,
        ATTENTION_BUGS,
    )
    for bug in bugs
}
