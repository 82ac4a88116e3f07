"""InputCascadeCNN, two paths twice; cascade.py has its source."""

from typing import ClassVar

from segpipe.networks.cascade import CascadeNetwork


class InputCascade(CascadeNetwork):
    """Both paths twice, the second time with the first probabilities as channels."""

    name: ClassVar[str] = "inputcascade"
    twice: ClassVar[bool] = True
