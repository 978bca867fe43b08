"""Random state as a part of what is saved."""

from typing import Any

__all__ = ["SavedGenerator"]

_KEY = "seed_generator"


class SavedGenerator:
    """Mixin, before a Keras layer or model: `self.seed_generator` is saved with the weights.

    Keras saves no generator's state, so that training which goes on from a file would draw other
    numbers than training uninterrupted. A layer that draws nothing has `None`.
    """

    seed_generator: Any = None

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)  # type: ignore[misc] # the layer's
        if self.seed_generator is not None:
            store[_KEY] = self.seed_generator.state

    def load_own_variables(self, store: Any) -> None:
        values = {key: store[key] for key in store.keys()}  # noqa: SIM118 - Keras's is no mapping
        state = values.pop(_KEY, None)
        if state is not None and self.seed_generator is not None:
            self.seed_generator.state.assign(state)
        super().load_own_variables(values)  # type: ignore[misc] # the layer's
