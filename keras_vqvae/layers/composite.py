"""What quantizers that are made of others share."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vqvae.layers.quantizer import Quantizer, QuantizerOutput, TableUse

__all__ = [
    "ChannelSplit",
    "Composite",
    "check_one_size",
    "concatenated_counts",
    "mean_losses",
    "part_config",
    "spread_initializers",
]


def check_one_size(sizes: tuple[int, ...]) -> None:
    """Refuses several sizes for a table that all parts share."""
    if len(set(sizes)) > 1:
        raise ValueError(
            "One table has one size. Pass one number as `num_embeddings`, or "
            f"`shared_codebook=False`. Received: num_embeddings={sizes}"
        )


def mean_losses(losses: list[dict[str, Any]], weights: Sequence[float]) -> dict[str, Any]:
    """The mean over parts of each weighted loss."""
    return {
        name: sum(w * part[name] for w, part in zip(weights, losses, strict=True)) / len(losses)
        for name in losses[0]
    }


def concatenated_counts(tables: tuple[TableUse, ...]) -> Any:
    """The `code_counts` of tables, one after another; `None` if they are not counted."""
    counts = [use.quantizer.code_counts for use in tables]
    if any(count is None for count in counts):
        return None
    return ops.concatenate([ops.convert_to_tensor(count) for count in counts])


def spread_initializers(initializer: Any, count: int) -> list[Any]:
    """An initializer for each table. One random instance would start all tables alike."""
    if isinstance(initializer, dict):
        initializer = keras.saving.deserialize_keras_object(initializer)
    if not isinstance(initializer, keras.initializers.Initializer):
        return [initializer] * count
    found = []
    for i in range(count):
        config = initializer.get_config()
        if isinstance(config.get("seed"), int):
            config["seed"] += i
        found.append(type(initializer).from_config(config))
    return found


def part_config(part: Any) -> dict[str, Any]:
    """The config of a layer inside another one, less what each layer has of its own."""
    config: dict[str, Any] = part.get_config()
    for key in ("name", "trainable", "dtype"):
        config.pop(key)
    return config


class Composite(Quantizer):
    """Made of quantizers with the same loss names, which a subclass puts into `self.quantizers`."""

    quantizers: list[Any]

    @property
    def num_embeddings(self) -> Any:
        """K, the number of codes of an index; a tuple if they differ."""
        sizes = self.table_sizes
        return sizes[0] if len(set(sizes)) == 1 else sizes

    @property
    def loss_names(self) -> tuple[str, ...]:
        return self.quantizers[0].loss_names

    @property
    def learns_by_gradient(self) -> bool:
        return self.quantizers[0].learns_by_gradient

    @property
    def code_counts(self) -> Any:
        return concatenated_counts(self.tables())

    def indices_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], len(self.table_sizes))


class ChannelSplit(Composite):
    """A vector is cut into equal pieces, and each has a quantizer of its own.

    A subclass sets `self.num_groups` and makes `self.quantizers`.
    """

    num_groups: int

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        self.check_last_axis(input_shape)
        groups = self.num_groups
        if input_shape[-1] % groups:
            raise ValueError(
                f"Layer '{self.name}' cuts vectors into {groups} equal pieces. Choose a length "
                f"that {groups} divides. Received: input_shape={tuple(input_shape)}"
            )
        for part in self.quantizers:
            part.build((None, input_shape[-1] // groups))
        self.built = True

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        self.check_built("discretize")
        z_e = ops.convert_to_tensor(z_e)
        pieces = ops.split(ops.cast(z_e, "float32"), len(self.quantizers), axis=-1)
        outputs = [
            part.discretize(piece, training=training, mask=mask)
            for part, piece in zip(self.quantizers, pieces, strict=True)
        ]
        quantized = ops.concatenate([output.quantized for output in outputs], axis=-1)
        return QuantizerOutput(
            ops.cast(quantized, z_e.dtype),
            ops.concatenate(
                [
                    output.indices if len(part.table_sizes) > 1 else output.indices[..., None]
                    for part, output in zip(self.quantizers, outputs, strict=True)
                ],
                axis=-1,
            ),
            mean_losses([output.losses for output in outputs], [1.0] * len(outputs)),
            ops.concatenate([output.codes for output in outputs], axis=-1),
        )

    def codes_of(self, indices: Any) -> Any:
        codes, first = [], 0
        for part in self.quantizers:
            depth = len(part.table_sizes)
            mine = indices[..., first : first + depth] if depth > 1 else indices[..., first]
            codes.append(part.codes_of(mine))
            first += depth
        return ops.concatenate(codes, axis=-1)

    @property
    def table_sizes(self) -> tuple[int, ...]:
        return tuple(size for part in self.quantizers for size in part.table_sizes)

    def tables(self) -> tuple[TableUse, ...]:
        uses, first = [], 0
        for i, part in enumerate(self.quantizers):
            for use in part.tables():
                name = f"group_{i}/{use.name}" if use.name else f"group_{i}"
                positions = tuple(first + position for position in use.positions)
                uses.append(TableUse(name, use.quantizer, positions))
            first += len(part.table_sizes)
        return tuple(uses)

    @property
    def embedding_dim(self) -> int | None:
        """D, the length of a whole vector; `None` until it is known."""
        dim = self.quantizers[0].embedding_dim
        return None if dim is None else dim * self.num_groups

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """The pieces' `codebook_shape` with the number of pieces in front."""
        return (len(self.quantizers), *self.quantizers[0].codebook_shape)

    @staticmethod
    def piece_dim(embedding_dim: int | None, num_groups: Any) -> int | None:
        """D / groups, after the checks that it exists."""
        if isinstance(num_groups, bool) or not isinstance(num_groups, int) or num_groups < 1:
            raise ValueError(
                f"`num_groups` should be a positive integer. Received: num_groups={num_groups!r}"
            )
        if embedding_dim is None:
            return None
        if embedding_dim % num_groups:
            raise ValueError(
                "`embedding_dim` should be divisible by `num_groups`. "
                f"Received: embedding_dim={embedding_dim}, num_groups={num_groups}"
            )
        return embedding_dim // num_groups
