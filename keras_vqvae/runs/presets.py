"""Configurations with a name."""

from keras_vqvae.runs.config import (
    DataConfig,
    PriorConfig,
    RunConfig,
    TrainingConfig,
    VQVAEConfig,
)

__all__ = ["demo_config"]


def demo_config(smoke: bool = False) -> RunConfig:
    """What `keras-vqvae demo` trains: the bundled images, in about 5 minutes on 2 CPU cores.

    Args:
        smoke: a run of seconds, that only shows that everything works. Defaults to `False`.

    Example:
    >>> demo_config().vqvae.num_embeddings
    128
    """
    if smoke:
        return RunConfig(
            data=DataConfig("fashion_mnist_mini", max_images=256),
            vqvae=VQVAEConfig(num_embeddings=16, embedding_dim=8, widths=(8, 16)),
            vqvae_training=TrainingConfig(epochs=1),
            prior=PriorConfig(filters=16, residual_blocks=1, embedding_dim=8),
            prior_training=TrainingConfig(epochs=1),
        )
    return RunConfig(
        data=DataConfig("fashion_mnist_mini", validation_fraction=0.05),
        vqvae=VQVAEConfig(num_embeddings=128, embedding_dim=16),
        vqvae_training=TrainingConfig(epochs=10, batch_size=64, schedule="cosine"),
        prior=PriorConfig(filters=64, residual_blocks=3, embedding_dim=32, conditional=True),
        prior_training=TrainingConfig(
            epochs=3, batch_size=32, learning_rate=4e-3, schedule="cosine"
        ),
    )
