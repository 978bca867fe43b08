"""Quantizers as parts of others: how they are given, checked, started and written down."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vqvae.layers.quantizer import Quantizer
from keras_vqvae.layers.quantizer_output import TableUse

__all__ = [
    "check_one_size",
    "check_part",
    "check_parts",
    "concatenated_counts",
    "is_position_wise",
    "known_dim",
    "mean_losses",
    "number_of",
    "one_for_each",
    "own_arguments",
    "serialized",
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
    """An initializer for each weight, by seeds `step` apart.

    One random instance would start all weights alike, but for one with a generator, which goes on.
    """
    if isinstance(initializer, dict):
        initializer = keras.saving.deserialize_keras_object(initializer)
    if not isinstance(initializer, keras.initializers.Initializer):
        return [initializer] * count
    found = []
    for i in range(count):
        config = initializer.get_config()
        # Without a seed in its config there is nothing to spread; a `SeedGenerator` goes on.
        if "seed" not in config or isinstance(config["seed"], dict):
            return [initializer] * count
        if isinstance(config["seed"], int):
            config["seed"] += i * step
        found.append(type(initializer).from_config(config) if i else initializer)
    return found


def own_arguments(part: Any) -> dict[str, Any]:
    """The config of a layer inside another one, less what each layer has of its own."""
    config: dict[str, Any] = part.get_config()
    for key in ("name", "trainable", "dtype"):
        config.pop(key)
    config.pop("frozen_parts", None)  # the outer layer says them of all its parts
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
    if not is_position_wise(part):
        raise ValueError(
            f"`{argument}` should give indices to each position. "
            f"Received: {argument}={part!r}, which takes whole grids"
        )
    return part


def is_position_wise(part: Quantizer) -> bool:
    """Whether a quantizer gives indices to each position, and not to a whole grid."""
    return part.indices_shape((2, 3, 5, 4))[:3] == (2, 3, 5)


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


def serialized(part: keras.layers.Layer) -> dict[str, Any]:
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
