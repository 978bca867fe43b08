"""What quantizers of pieces of a vector share."""

from contextlib import nullcontext
from typing import Any

from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.layers.composite import Composite
from keras_vqvae.layers.parts import known_dim, mean_losses, stacked_shape
from keras_vqvae.layers.quantizer_output import QuantizerOutput, TableUse
from keras_vqvae.ops import within_batch

__all__ = ["ChannelSplit"]


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
            self._joined([output.indices for output in outputs]),
            mean_losses([output.losses for output in outputs], [1.0] * len(outputs)),
            ops.concatenate([output.codes for output in outputs], axis=-1),
        )

    def indices_of(self, z_e: Any) -> Any:
        self.check_built("encode")
        self.check_input_shape(z_e.shape)
        pieces = ops.split(ops.cast(z_e, "float32"), len(self.quantizers), axis=-1)
        found = [p.indices_of(piece) for p, piece in zip(self.quantizers, pieces, strict=True)]
        return self._joined(found)

    def _joined(self, indices: list[Any]) -> Any:
        """The indices of all pieces of a position, one after another."""
        rows = [
            of_part if part.has_index_axis else of_part[..., None]
            for part, of_part in zip(self.quantizers, indices, strict=True)
        ]
        return ops.concatenate(rows, axis=-1)

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
    def piece_dim(embedding_dim: int | None, num_groups: int) -> int | None:
        """D / groups, after the checks that it exists."""
        if embedding_dim is None:
            return None
        embedding_dim = check_count("embedding_dim", embedding_dim)
        if embedding_dim % num_groups:
            raise ValueError(
                "`embedding_dim` should be divisible by `num_groups`. "
                f"Received: embedding_dim={embedding_dim}, num_groups={num_groups}"
            )
        return embedding_dim // num_groups
