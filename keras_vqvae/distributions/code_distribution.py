"""A prior as a distribution over grids of codes."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vqvae.compilation import is_concrete
from keras_vqvae.distributions.model_distribution import ModelDistribution, as_rows, like_rows
from keras_vqvae.models.codes import check_codes
from keras_vqvae.models.prior_checks import check_labels

__all__ = ["CodeDistribution"]


class CodeDistribution(ModelDistribution):
    """The grids of codes that a prior has learned: exact `log_prob`, and `sample`.

    Samples are int32 of `event_shape` `(h, w)`, or `(h, w, Q)` for Q codes a position. It stands in
    `tfd.JointDistributionSequential` and `…Named` as any other does.

    Args:
        prior: a `models.CodePrior`, not conditioned on vectors or grids.
        labels: for a prior conditioned on classes: an integer, or an integer tensor whose shape is
            then the `batch_shape`. −1 stands for none, for a prior with `label_dropout`.
        name: the distribution's name.

    Raises:
        RuntimeError: on another backend than TensorFlow.
        ValueError: for labels missing, out of range, or given to a prior without classes. In
            compiled code, which cannot raise, labels are not looked at.

    Example:
    >>> from keras_vqvae import models
    >>> prior = models.PixelCNN((2, 3), num_embeddings=5, filters=4, residual_blocks=1)
    >>> codes = CodeDistribution(prior)
    >>> codes.event_shape, codes.batch_shape
    (TensorShape([2, 3]), TensorShape([]))
    >>> tuple(codes.log_prob(codes.sample(4, seed=1)).shape)
    (4,)
    """

    def __init__(self, prior: Any, labels: Any = None, name: str = "CodeDistribution") -> None:
        parameters = dict(locals())
        if prior.condition_shape is not None:
            raise ValueError(
                "`prior` should not be conditioned on vectors or grids. "
                f"Received: a prior with condition_shape={prior.condition_shape}"
            )
        if prior.num_classes is None and labels is not None:
            raise ValueError("`labels` are for a prior with `num_classes`. This one has none.")
        if prior.num_classes is not None and labels is None and not prior.label_dropout:
            raise ValueError(
                f"`labels` should be given: the prior is conditioned on {prior.num_classes} "
                "classes."
            )
        self.prior = prior
        self.labels = None if labels is None else tf.convert_to_tensor(labels, tf.int32)
        if self.labels is not None and is_concrete(self.labels):
            rows, lowest = self.labels.numpy().reshape(-1), -1 if prior.label_dropout else 0
            check_labels(rows, len(rows), prior.num_classes, lowest)
        batch_shape = () if self.labels is None else self.labels.shape
        super().__init__(tf.int32, prior.code_shape, batch_shape, parameters, name)

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        return {"labels": tfp.util.ParameterProperties(event_ndims=0)}

    def _sample_n(self, n: Any, seed: Any = None) -> Any:
        shape = (self._count(n), *self.batch_shape)
        count = tf.TensorShape(shape).num_elements()
        seed = tfp.random.sanitize_seed(seed, salt="codes")
        uniforms = tf.random.stateless_uniform((count, *self.event_shape), seed)
        labels = self._labels_of(tf.zeros(shape))
        codes = self._draw(uniforms, labels)
        return tf.reshape(codes, (*shape, *self.event_shape))

    def _draw(self, uniforms: Any, labels: Any) -> Any:
        """Codes of random numbers, in parts of one size, whose state is bounded, where it can be.

        In a function that is being traced, all at once: it would hold each part's loop.
        """
        size, count = self.prior.chunk_of_samples(), uniforms.shape[0]
        if count <= size or not is_concrete(uniforms):
            return self.prior.draw_codes(uniforms, labels)
        codes = []
        for first in range(0, count, size):
            rows = tf.minimum(tf.range(first, first + size), count - 1)  # the last one filled up
            of_rows = None if labels is None else tf.gather(labels, rows)
            codes.append(self.prior.draw_codes(tf.gather(uniforms, rows), of_rows))
        return tf.concat(codes, 0)[:count]

    def _log_prob(self, value: Any) -> Any:
        value, rank = self._with_batch(value), len(self.event_shape)
        rows = as_rows(value, rank)
        if is_concrete(rows):  # compiled code cannot raise
            check_codes(rows, tuple(self.event_shape), self.prior.num_embeddings, "value")
        nats = self.prior.nats(rows, labels=self._labels_of(value[(..., *[0] * rank)]))
        return like_rows(-tf.reduce_sum(nats, axis=list(range(1, rank + 1))), value, rank)

    def _labels_of(self, members: Any) -> Any:
        """A label for each element of a tensor that ends in the shape of the batch."""
        if self.labels is None:
            return None
        return tf.reshape(tf.broadcast_to(self.labels, tf.shape(members)), [-1])
