"""A net with one layer of the table ``LAYERS``, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from gradcheck.models.layers import LAYERS
from gradcheck.models.layers.chain import Chain
from gradcheck.models.layers.dense import Dense, Flatten
from gradcheck.models.layers.layer import Layer
from gradcheck.models.layers.layered import Layered
from gradcheck.models.settings import require_choice, require_whole


@dataclass
class OneLayer(Layered):
    """A dense layer of ``units`` along the last axis, one ``layer`` of the table with its ``options``, a dense layer.

    options : the settings of the layer by their names; null takes their defaults.
    """

    layer: str = "layer_norm"
    options: Any = None
    units: int = 4

    name = "layer"
    section = "model.options"
    choices: ClassVar[Mapping[str, Sequence[object]]] = {**Layered.choices, "layer": tuple(LAYERS)}

    def validate(self) -> None:
        require_choice("model.layer", self.layer, tuple(LAYERS))
        if self.options is not None and not isinstance(self.options, dict):
            raise ValueError(
                f"model.options={self.options}: must map settings of the layer to their values, or be null"
            )
        known = [item.name for item in fields(LAYERS[self.layer]) if item.name != "tag"]
        for key, value in (self.options or {}).items():
            if key not in known:
                allowed = f"has {', '.join(known)}" if known else "has no settings"
                raise ValueError(f"model.options.{key}={value}: the layer {self.layer} {allowed}")
        require_whole("model.units", self.units)
        super().validate()

    def chain(self, outputs: int) -> Chain:
        return Chain("", tuple(self._layers(outputs)))

    def _layers(self, outputs: int) -> Iterator[Layer[Any]]:
        yield Dense("1", self.units)
        yield LAYERS[self.layer](tag="2", **(self.options or {}))
        yield Flatten()
        yield Dense("3", outputs)
