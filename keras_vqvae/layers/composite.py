"""What quantizers that are made of others share."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import Schedule, check_count
from keras_vqvae.layers.quantizer import Quantizer, QuantizerOutput, TableUse
from keras_vqvae.ops import within_batch

__all__ = [
    "ChannelSplit",
    "Composite",
    "check_one_size",
    "check_part",
    "check_parts",
    "concatenated_counts",
    "known_dim",
    "mean_losses",
    "one_for_each",
    "part_config",
    "parts_config",
    "spread_initializers",
    "stacked_shape",
]


def check_one_size(sizes: tuple[int, ...]) -> None:
    """Refuses several sizes for a table that all parts share."""
    if len(set(sizes)) > 1:
        raise ValueError(
            "One table has one size. Pass one number as `num_embeddings`, or "
            f"`shared_codebook=False`. Received: num_embeddings={sizes}"
        )


def one_for_each(argument: str, value: Any, count: int, parts: str) -> tuple[Any, ...]:
    """A value for each of `count` parts, out of one for all or as many as there are."""
    values = tuple(value) if hasattr(value, "__len__") else (value,) * count
    if len(values) != count:
        raise ValueError(
            f"`{argument}` should be one number or one for each of the {count} {parts}. "
            f"Received: {argument}={value!r}"
        )
    return values


def mean_losses(losses: list[dict[str, Any]], weights: Sequence[float]) -> dict[str, Any]:
    """The mean over parts of each weighted loss; of parts that do not have it, it is 0."""
    names = dict.fromkeys(name for part in losses for name in part)
    pairs = list(zip(weights, losses, strict=True))
    return {
        name: sum(w * part[name] for w, part in pairs if name in part) / len(losses)
        for name in names
    }


def concatenated_counts(tables: tuple[TableUse, ...]) -> Any:
    """The `code_counts` of tables, one after another; `None` if they are not counted."""
    counts = [use.quantizer.code_counts for use in tables]
    if any(count is None for count in counts):
        return None
    return ops.concatenate([ops.convert_to_tensor(count) for count in counts])


def spread_initializers(initializer: Any, count: int, step: int = 1) -> list[Any]:
    """An initializer for each table, by seeds `step` apart.

    One random instance would start all tables alike, but for one with a generator, which goes on.
    """
    if isinstance(initializer, dict):
        initializer = keras.saving.deserialize_keras_object(initializer)
    if not isinstance(initializer, keras.initializers.Initializer):
        return [initializer] * count
    found = []
    for i in range(count):
        config = initializer.get_config()
        if isinstance(config.get("seed"), dict):  # a `SeedGenerator`
            return [initializer] * count
        if isinstance(config.get("seed"), int):
            config["seed"] += i * step
        found.append(type(initializer).from_config(config))
    return found


def part_config(part: Any) -> dict[str, Any]:
    """The config of a layer inside another one, less what each layer has of its own."""
    config: dict[str, Any] = part.get_config()
    for key in ("name", "trainable", "dtype"):
        config.pop(key)
    return config


def check_part(part: Any, argument: str) -> Quantizer:
    """A quantizer of vectors that a user gave, or its config."""
    if isinstance(part, dict):
        part = keras.saving.deserialize_keras_object(part)
    if not isinstance(part, Quantizer):
        raise ValueError(
            f"`{argument}` should be a quantizer such as `VectorQuantizer(512)`. "
            f"Received: {argument}={part!r}"
        )
    if part.indices_shape((2, 3, 5, 4))[:3] != (2, 3, 5):
        raise ValueError(
            f"`{argument}` should give indices to each position. "
            f"Received: {argument}={part!r}, which takes whole grids"
        )
    return part


def check_parts(quantizers: Any) -> list[Quantizer]:
    """The list of quantizers of vectors that a user gave, or their configs."""
    if not isinstance(quantizers, (list, tuple)) or not quantizers:
        raise ValueError(
            "`quantizers` should be a list of quantizers, such as `[SimVQ(512), SimVQ(512)]`. "
            f"Received: quantizers={quantizers!r}"
        )
    parts = [check_part(part, f"quantizers[{i}]") for i, part in enumerate(quantizers)]
    for i, part in enumerate(parts):
        if any(_layers_of(part) & _layers_of(other) for other in parts[:i]):
            raise ValueError(
                f"`quantizers[{i}]`, or a part of it, stands in the list before: each is a layer "
                "of its own. Make a new one, or use `shared_codebook=True` of "
                "`ResidualVectorQuantizer` and `ProductQuantizer`. "
                f"Received: quantizers[{i}]={part!r}"
            )
    dims = sorted({part.embedding_dim for part in parts if part.embedding_dim is not None})
    if len(dims) > 1:
        raise ValueError(f"`quantizers` should all take vectors of one length. Received: {dims}")
    return parts


def _layers_of(part: Quantizer) -> set[int]:
    return {id(layer) for layer in part._flatten_layers()}


def known_dim(quantizers: Sequence[Quantizer]) -> int | None:
    """The length of the vectors that all take, from one of them that knows it."""
    dims = (part.embedding_dim for part in quantizers)
    return next((dim for dim in dims if dim is not None), None)


def stacked_shape(quantizers: Sequence[Quantizer]) -> tuple[int | None, ...]:
    """Their `codebook_shape` with their number in front, or `(ΣK, D)` if they differ in it."""
    shapes = {part.codebook_shape for part in quantizers}
    if len(shapes) == 1:
        return (len(quantizers), *shapes.pop())
    dims = {shape[-1] for shape in shapes} - {None}
    size = sum(sum(part.table_sizes) for part in quantizers)
    return (size, dims.pop() if len(dims) == 1 else None)


def parts_config(quantizers: Sequence[Quantizer]) -> list[dict[str, Any]]:
    """The configs of quantizers inside another one, which builds them."""
    return [part_config_of(part) for part in quantizers]


def part_config_of(part: keras.layers.Layer) -> dict[str, Any]:
    """The config of a layer inside another one, which builds it."""
    config: dict[str, Any] = keras.saving.serialize_keras_object(part)
    config.pop("build_config", None)
    return config


def number_of(part: Any, name: str, owner: str) -> Any:
    """`part.number(name)`, of a quantizer that may have no numbers."""
    if not hasattr(part, "number"):
        raise ValueError(
            f"`{type(part).__name__}` in '{owner}' has no numbers that change over training. "
            f"Received: name={name!r}"
        )
    return part.number(name)


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
        return number_of(self.quantizers[0], name, self.name)

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
        self.check_input_shape(input_shape)
        groups = self.num_groups
        if input_shape[-1] % groups:
            raise ValueError(
                f"Layer '{self.name}' cuts vectors into {groups} equal pieces. Choose a length "
                f"that {groups} divides. Received: input_shape={tuple(input_shape)}"
            )
        for part in self.quantizers:
            part.build((None, input_shape[-1] // groups))
        self.hand_on_frozen()
        self.built = True

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        self.check_built("discretize")
        z_e = ops.convert_to_tensor(z_e)
        self.check_input_shape(z_e.shape)
        mask = None if mask is None else self.checked_mask(z_e, mask)
        pieces = ops.split(ops.cast(z_e, "float32"), len(self.quantizers), axis=-1)
        with within_batch(self.flatten(z_e, mask)[0]) if training else nullcontext():
            outputs = [
                part.discretize(piece, training=training, mask=mask)
                for part, piece in zip(self.quantizers, pieces, strict=True)
            ]
        quantized = ops.concatenate([output.quantized for output in outputs], axis=-1)
        return QuantizerOutput(
            self.like_input(z_e, quantized),
            ops.concatenate(
                [
                    output.indices if part.has_index_axis else output.indices[..., None]
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
            axis = part.has_index_axis
            mine = indices[..., first : first + depth] if axis else indices[..., first]
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
        dim = known_dim(self.quantizers)
        return None if dim is None else dim * self.num_groups

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """The pieces' `codebook_shape` with G in front, or `(ΣK, D/G)` if they differ in it."""
        return stacked_shape(self.quantizers)

    @staticmethod
    def piece_dim(embedding_dim: int | None, num_groups: Any) -> int | None:
        """D / groups, after the checks that it exists."""
        num_groups = check_count("num_groups", num_groups)
        if embedding_dim is None:
            return None
        embedding_dim = check_count("embedding_dim", embedding_dim)
        if embedding_dim % num_groups:
            raise ValueError(
                "`embedding_dim` should be divisible by `num_groups`. "
                f"Received: embedding_dim={embedding_dim}, num_groups={num_groups}"
            )
        return embedding_dim // num_groups
