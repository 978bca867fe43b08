"""What decides a run: plain data, the same in Python, on the command line and on disk."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from keras_vqvae.runs import checks

__all__ = ["DataConfig", "PriorConfig", "RunConfig", "TrainingConfig", "VQVAEConfig"]

FORMAT = "keras_vqvae.run"
VERSION = 1


def option(default: Any, help: str, choices: tuple[str, ...] | None = None) -> Any:
    """A field with its default and the line that `--help` shows."""
    return field(default=default, metadata={"help": help, "choices": choices})


# Quantizers that give one code a position, which is what the prior of a run learns, and what each
# takes of the settings that not all have.
_QUANTIZER_SETTINGS = {
    "vector": ("embedding_dim", "beta", "update", "embeddings_initializer", "revival"),
    "finite_scalar": (),
    "lookup_free": ("beta",),
    "binary_spherical": ("beta",),
    "sim_vq": ("embedding_dim", "beta"),
    "index_backprop": ("embedding_dim", "beta"),
    "gumbel": ("embedding_dim",),
}
QUANTIZERS = tuple(_QUANTIZER_SETTINGS)


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how they are seen.

    The validation images are the data's own validation part if it has one, else a share of the
    training images, drawn by the run's seed.
    """

    source: str = option("fashion_mnist_mini", "a folder, archive, .npz, .npy, or a name")
    image_size: tuple[int, int] | None = option(None, "height and width to resize to: 64 or 48,64")
    color: str | None = option(None, "turn all images to this", ("grayscale", "rgb"))
    resize: str = option("crop", "how other proportions fit", ("crop", "stretch", "pad"))
    value_range: tuple[float, float] | None = option(
        None, "black and white of float images: 0,1  [bytes: 0,255]"
    )
    validation_fraction: float = option(0.1, "share of the training images held out for validation")
    max_images: int | None = option(None, "use only so many images of each part")
    horizontal_flip: bool = option(False, "mirror images at random")
    crop_padding: int = option(0, "shift images at random by up to so many pixels")
    strict: bool = option(False, "an unreadable image file is an error, not skipped")

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError(
                "`source` should be a path or a name; '.' is the current directory. "
                f"Received: source={self.source!r}"
            )
        size = self.image_size
        if isinstance(size, int):
            size = (size, size)
        object.__setattr__(self, "image_size", checks.pair("image_size", size, int))
        object.__setattr__(self, "value_range", checks.pair("value_range", self.value_range, float))
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise ValueError(
                "`value_range` should be two numbers, the first below the second: what black and "
                f"white are. Received: value_range={self.value_range}"
            )
        checks.within("validation_fraction", self.validation_fraction, 0.0, 0.9)
        checks.at_least("max_images", self.max_images, 2, optional=True)
        checks.at_least("crop_padding", self.crop_padding, 0)


@dataclass(frozen=True)
class VQVAEConfig:
    """The VQ-VAE: `models.convolutional_vqvae` and its quantizer.

    A Gaussian likelihood gets the variance of the training images as its scale, as the authors'
    squared error has; see `likelihoods.Gaussian.from_variance`.
    """

    quantizer: str = option("vector", "what turns vectors into codes", QUANTIZERS)
    num_embeddings: int = option(512, "K, the number of codes")
    embedding_dim: int = option(16, "D, the length of a code")
    widths: tuple[int, ...] = option((32, 64), "channels after each halving of the image")
    residual_blocks: int = option(0, "residual blocks in encoder and decoder")
    beta: float = option(0.25, "weight of the commitment loss")
    update: str = option("ema", "how the codes of a vector quantizer learn", ("ema", "gradient"))
    decay: float = option(0.99, "decay of the moving averages, for --update ema")
    codebook_learning_rate: float | None = option(
        None,
        "learning rate of the codes, for --update gradient  [default: ten times the network's]",
    )
    embeddings_initializer: str = option("kmeans", "where the codes start", ("kmeans", "uniform"))
    revival: bool = option(True, "replace dead codes")
    likelihood: str = option(
        "gaussian",
        "what the decoder's output means",
        (
            "gaussian",
            "gaussian_with_scale",
            "discretized_logistic",
            "discretized_logistic_mixture",
            "categorical",
            "bernoulli",
        ),
    )

    def __post_init__(self) -> None:
        widths = (self.widths,) if isinstance(self.widths, int) else tuple(self.widths)
        object.__setattr__(self, "widths", widths)
        checks.at_least("num_embeddings", self.num_embeddings, 2)
        checks.at_least("embedding_dim", self.embedding_dim, 1)
        checks.at_least("residual_blocks", self.residual_blocks, 0)
        for width in widths or (0,):
            checks.at_least("widths", width, 1)
        checks.within("decay", self.decay, 0.0, 0.999999)
        checks.within("beta", self.beta, 0.0, float("inf"))
        rate = self.codebook_learning_rate
        checks.positive("codebook_learning_rate", rate, optional=True)
        if rate is not None and (self.quantizer, self.update) != ("vector", "gradient"):
            raise ValueError(
                "`codebook_learning_rate` needs the quantizer 'vector' with update='gradient', "
                "whose codes learn by gradient. Received: "
                f"quantizer={self.quantizer!r}, update={self.update!r}"
            )

    def rate_of_codes(self, learning_rate: float) -> float | None:
        """The learning rate of codes that have one of their own, and `None` for all others.

        Codes of a vector quantizer that learn by gradient have `codebook_learning_rate`, by default
        ten times that of the networks: at the same one they stay behind the vectors, at more than
        three times the error if dead codes are replaced (`benchmarks/codes_in_use.py`).

        Args:
            learning_rate: that of the networks.

        Example:
        >>> VQVAEConfig(update="gradient").rate_of_codes(0.001)
        0.01
        """
        if (self.quantizer, self.update) != ("vector", "gradient"):
            return None
        rate = self.codebook_learning_rate
        return 10.0 * learning_rate if rate is None else rate

    @staticmethod
    def quantizers_with(setting: str) -> list[str]:
        """The quantizers that take a setting which not all have.

        Example:
        >>> VQVAEConfig.quantizers_with("update")
        ['vector']
        """
        return [name for name, taken in _QUANTIZER_SETTINGS.items() if setting in taken]

    def without_use(self) -> list[str]:
        """The settings that were changed from their defaults, and do nothing beside the others.

        Example:
        >>> VQVAEConfig(quantizer="finite_scalar", beta=0.5, revival=False).without_use()
        ['beta', 'revival']
        """
        taken = {"decay"} if (self.quantizer, self.update) == ("vector", "ema") else set()
        taken.update(_QUANTIZER_SETTINGS.get(self.quantizer, ()))
        # The length of a code is that of the baselines of a comparison, too.
        some = {"decay", *_QUANTIZER_SETTINGS["vector"]} - {"embedding_dim"}
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        return [
            name
            for name, default in defaults.items()
            if name in some - taken and getattr(self, name) != default
        ]


@dataclass(frozen=True)
class PriorConfig:
    """The prior: `models.PixelCNN`."""

    filters: int = option(128, "channels between the blocks, even")
    residual_blocks: int = option(5, "residual blocks")
    embedding_dim: int = option(64, "length of a code's embedding")
    dropout: float = option(0.0, "dropout rate in each block")
    conditional: bool = option(False, "learn the codes of each class, for data with labels")

    def __post_init__(self) -> None:
        checks.at_least("filters", self.filters, 2)
        if self.filters % 2:
            raise ValueError(f"`filters` should be even. Received: filters={self.filters}")
        checks.at_least("residual_blocks", self.residual_blocks, 1)
        checks.at_least("embedding_dim", self.embedding_dim, 1)
        checks.within("dropout", self.dropout, 0.0, 0.99)


@dataclass(frozen=True)
class TrainingConfig:
    """How a stage is trained: Adam, with the usual choices."""

    epochs: int = option(20, "passes over the training images")
    batch_size: int = option(64, "images a step")
    learning_rate: float = option(1e-3, "Adam's learning rate, the highest of a schedule")
    schedule: str = option("constant", "learning rate over the steps", ("constant", "cosine"))
    warmup_steps: int = option(0, "steps from learning rate 0 to the highest")
    clip_norm: float | None = option(None, "largest norm of the gradient")
    patience: int | None = option(
        None, "stop after so many epochs without a better validation loss"
    )

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            checks.at_least(name, getattr(self, name), 1)
        checks.at_least("warmup_steps", self.warmup_steps, 0)
        checks.at_least("patience", self.patience, 1, optional=True)
        checks.positive("learning_rate", self.learning_rate)
        checks.positive("clip_norm", self.clip_norm, optional=True)


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run.

    Args:
        data: the images.
        vqvae: the first model.
        vqvae_training: its training.
        prior: the second model.
        prior_training: its training.
        seed: fixes initial weights, the split, the order of the images, and samples.
        dtype_policy: of both models.
        jit_compile: XLA for training: `"auto"`, `"on"` or `"off"`.

    Raises:
        ValueError: for a value out of range, naming it.

    Example:
    >>> config = RunConfig(vqvae=VQVAEConfig(num_embeddings=64), seed=7)
    >>> RunConfig.from_dict(config.to_dict()) == config
    True
    """

    data: DataConfig = field(default_factory=DataConfig)
    vqvae: VQVAEConfig = field(default_factory=VQVAEConfig)
    vqvae_training: TrainingConfig = field(default_factory=TrainingConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    prior_training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = option(0, "fixes weights, split, order of the images, and samples")
    dtype_policy: str = option(
        "float32", "dtype policy of Keras", ("float32", "mixed_bfloat16", "mixed_float16")
    )
    jit_compile: str = option("auto", "XLA for training", ("auto", "on", "off"))

    def __post_init__(self) -> None:
        checks.seed("seed", self.seed)
        for group in ("data", "vqvae", "vqvae_training", "prior", "prior_training", None):
            owner = self if group is None else getattr(self, group)
            for f in dataclasses.fields(owner):
                choices = f.metadata.get("choices")
                value = getattr(owner, f.name)
                if choices and value not in choices and not (value is None and f.default is None):
                    raise ValueError(
                        f"`{f.name}` should be one of {', '.join(map(repr, choices))}. "
                        f"Received: {f.name}={value!r}"
                    )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The configuration that `to_dict` wrote; what is left out has its default.

        Raises:
            ValueError: for unknown names, another format or a later version.
        """
        values = dict(values)
        kind = values.pop("format", FORMAT)
        if kind != FORMAT:
            raise ValueError(
                f"this is no configuration of a keras_vqvae run. Received: format={kind!r}"
            )
        version = values.pop("version", VERSION)
        if version != VERSION:
            raise ValueError(
                f"the configuration has version {version!r}, and this package reads {VERSION}. "
                "Use the package that wrote it"
            )
        return checks.build(cls, values)

    def differences(self, other: "RunConfig") -> list[str]:
        """The settings in which two configurations differ, as `group.name: this -> other`."""
        return list(_differences(self.to_dict(), other.to_dict(), ""))


def _differences(ours: dict[str, Any], theirs: dict[str, Any], prefix: str) -> Any:
    for key, value in ours.items():
        if isinstance(value, dict):
            yield from _differences(value, theirs[key], f"{prefix}{key}.")
        elif value != theirs[key]:
            yield f"{prefix}{key}: {value!r} -> {theirs[key]!r}"
