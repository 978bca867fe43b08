"""What quantizers share whose codes are drawn from a distribution that each vector gives."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.codebooks import Codebook, DataInitializer
from keras_vqvae.layers.codebook_quantizer import CodebookQuantizer
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.ops import mean_over_valid, random_uniform, take_rows, with_soft_gradient
from keras_vqvae.seeds import check_seed, derived_seed

__all__ = ["DrawnCodeQuantizer"]


class DrawnCodeQuantizer(CodebookQuantizer):
    """Logits of a vector, a code out of the distribution that they mean, and its divergence.

    A subclass gives `divergence` and `choose`. It may set numbers of its own before it calls
    `make_parts`.
    """

    def make_parts(
        self,
        num_embeddings: int,
        num_logits: int,
        embedding_dim: int | None,
        kl_weight: Any,
        embeddings_initializer: Any,
        seed: Any,
    ) -> None:
        seed = check_seed(seed)
        self.set_numbers(kl_weight=kl_weight)
        if embeddings_initializer is None:
            embeddings_initializer = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
        self.codebook = Codebook(
            num_embeddings,
            embedding_dim,
            embeddings_initializer=embeddings_initializer,
            seed=seed,
            dtype="float32",
            name="codebook",
        )
        if isinstance(self.codebook.embeddings_initializer, DataInitializer):
            raise ValueError(
                "Codes are chosen by logits here, not by their distance, so there is no start from "
                "data. Pass a Keras initializer as `embeddings_initializer`. "
                f"Received: embeddings_initializer={embeddings_initializer!r}"
            )
        self.projection = keras.layers.Dense(
            int(num_logits),
            kernel_initializer=keras.initializers.GlorotUniform(derived_seed(seed, "projection")),
            dtype="float32",
            name="projection",
        )

    def divergence(self, logits: Any) -> Any:
        """What a vector's distribution costs, in nats: `(N, num_logits)` to `(N,)`."""
        raise NotImplementedError

    def choose(self, logits: Any, training: bool) -> tuple[Any, Any]:
        """int32 indices `(N,)`, drawn in training, and the probabilities `(N, K)` of all codes."""
        raise NotImplementedError

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        super().build(input_shape)
        self.projection.build((None, input_shape[-1]))

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        logits = self.projection(x)
        divergence = mean_over_valid(ops.expand_dims(self.divergence(logits), -1), valid)
        losses = {"kl_loss": self.number("kl_weight") * divergence}
        indices, probabilities = self.choose(logits, training)
        table = self.codebook.table_learning_from(x, training)
        codes = take_rows(table, indices)
        quantized = with_soft_gradient(codes, probabilities, table)
        if training:
            self.codebook.learn(x, indices, valid)
            self.advance(valid)
        return self.restore(z_e, valid, quantized, indices, losses, codes)

    def uniforms(self, logits: Any) -> Any:
        """A number in [0, 1) for each logit."""
        return random_uniform(ops.shape(logits), self.codebook.seed_generator)

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ("kl_loss",)

    @property
    def learns_by_gradient(self) -> bool:
        return True
