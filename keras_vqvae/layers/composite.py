"""What quantizers that are made of others share."""

from typing import Any

from keras_vqvae.choices import Schedule
from keras_vqvae.layers.parts import concatenated_counts, number_of
from keras_vqvae.layers.quantizer import Quantizer

__all__ = ["Composite"]

# What quantizers with different numbers of one name were given.
_DIFFERENT = object()


def _comparable(given: Any) -> Any:
    return given.get_config() if isinstance(given, Schedule) else given


class Composite(Quantizer):
    """Made of quantizers, which a subclass puts into `self.quantizers`."""

    quantizers: list[Any]

    @property
    def num_embeddings(self) -> Any:
        """K, the number of codes of an index; a tuple if they differ."""
        sizes = self.table_sizes
        return sizes[0] if len(set(sizes)) == 1 else sizes

    def number(self, name: str) -> Any:
        """What the number of this name is now, where all quantizers in it were given the same one.

        Raises:
            ValueError: where they were given different ones, or have none of this name.
        """
        if self.given_number(name) is _DIFFERENT:
            raise ValueError(
                f"The quantizers in '{self.name}' have different `{name}`. Ask one of them: "
                f"`layer.quantizers[0].number({name!r})`"
            )
        # One that is frozen alone has kept what it was then.
        of = next((part for part in self.quantizers if part.trainable), self.quantizers[0])
        return number_of(of, name, self.name)

    def given_number(self, name: str) -> Any:
        """The number or schedule of this name that all quantizers in it were given.

        Where they were given different ones it is an object equal to no number.
        """
        numbers = [part.given_number(name) for part in self.quantizers]
        first, *others = map(_comparable, numbers)
        return numbers[0] if all(other == first for other in others) else _DIFFERENT

    @property
    def loss_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self.quantizers for name in part.loss_names))

    @property
    def learns_by_gradient(self) -> bool:
        return any(part.learns_by_gradient for part in self.quantizers)

    @property
    def code_counts(self) -> Any:
        self.check_made("code_counts")
        return concatenated_counts(self.tables())

    def indices_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], len(self.table_sizes))
