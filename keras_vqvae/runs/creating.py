"""What is checked before a run is written."""

import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_vqvae import models
from keras_vqvae.data.folders import is_passed_over
from keras_vqvae.data.named import CLASS_NAMES
from keras_vqvae.runs.building import build_image_model
from keras_vqvae.runs.config import RunConfig
from keras_vqvae.runs.directory import SAMPLE_FIGURES, STAGES, RunDirectory, read_json, write_json
from keras_vqvae.runs.environment import environment
from keras_vqvae.runs.errors import RunExistsError
from keras_vqvae.runs.parts import DataParts, resolved


def with_absolute_source(config: RunConfig) -> RunConfig:
    """The settings with the path of the data made absolute; names of data sets stay."""
    return replace(config, data=replace(config.data, source=resolved(config.data.source)))


def check_output(directory: str | os.PathLike[str], config: RunConfig) -> None:
    """Looks at where the files of something new are to be, before anything is written there.

    Args:
        directory: of a run, a comparison or a search.
        config: its settings, or those of its runs.

    Raises:
        ValueError: for the folder of the images, or one in it: pictures that are written there
            would be images the next time.
    """
    images = Path(config.data.source).expanduser()
    if config.data.source in CLASS_NAMES or not images.is_dir():
        return
    # Links are followed: the folder of images may be known by several names.
    output, inside = Path(directory).resolve(), images.resolve()
    if not output.is_relative_to(inside):
        return
    steps = output.relative_to(inside).parts
    if any(map(is_passed_over, steps)):
        return
    where = "lies in" if steps else "is"
    raise ValueError(
        f"the output {str(directory)!r} {where} the folder of images {str(images)!r}: its "
        "pictures would become images themselves. Give a directory elsewhere (`--output`)"
    )


def is_same_run(files: RunDirectory, config: RunConfig) -> bool:
    """Whether a directory holds a run with these settings.

    A run with other settings for stages that have not begun counts as another one, and is no error.

    Raises:
        RunExistsError: if it holds other files, or a run with other settings of a begun stage.
    """
    if not files.is_run():
        if files.is_occupied():
            raise RunExistsError(
                f"the output {str(files.path)!r} is not empty and holds no run. Give another "
                "directory (`--output`)"
            )
        return False
    differences = RunConfig.from_dict(read_json(files.config)).differences(config)
    begun = [d for d in differences if any(map(files.has_begun, _stages_of(d)))]
    if begun:
        raise RunExistsError(
            f"the output {str(files.path)!r} holds a run with other settings "
            f"({'; '.join(begun)}). Give another directory (`--output`), or `--overwrite` to "
            "begin anew"
        )
    return not differences


def begin(files: RunDirectory, config: RunConfig, parts: DataParts) -> None:
    """Writes the settings, and before a first step what is worth knowing of the data."""
    if not files.has_begun("vqvae") or not files.metrics.exists():
        write_json(files.metrics, {"data": parts.record(), "environment": environment()})
    write_json(files.config, config.to_dict())


def forget_all(files: RunDirectory) -> None:
    """Removes what a run has made; which images it was of is known until all of it is gone."""
    try:
        forget_figures(files, "vqvae")
    except ValueError:  # it is damaged
        files.metrics.unlink()
    files.remove(STAGES)


def forget_prior(files: RunDirectory) -> None:
    """Removes what the prior's stage wrote, and its figures.

    The figures first: they would count as those of the next one if a kill came in between.
    """
    forget_figures(files, "prior")
    files.remove(("prior",))


def forget_figures(files: RunDirectory, stage: str) -> None:
    """Removes from `metrics.json` what is of the model of a stage, and of what was made with it.

    Raises:
        ValueError: if the file is damaged.
    """
    if not files.metrics.exists():
        return
    metrics = read_json(files.metrics)
    if stage == "vqvae":
        metrics = {name: metrics[name] for name in ("data", "environment") if name in metrics}
    else:
        for name in ("prior", *SAMPLE_FIGURES):
            metrics.pop(name, None)
        for name in ("codes_prior", "total_prior"):
            metrics.get("bits_per_dimension", {}).pop(name, None)
        for name in ("prior", "sample"):
            metrics.get("seconds", {}).pop(name, None)
    write_json(files.metrics, metrics)


def check_fit(config: RunConfig, parts: DataParts) -> None:
    """Opens the data and builds the model that it is for; warns of settings without a use.

    Raises:
        ValueError: if they do not fit.
    """
    train = parts.train
    height, width, channels = train.image_shape
    if channels not in (1, 3):
        raise ValueError(
            "images should have 1 or 3 channels, so that pictures can be drawn of them. Received: "
            f"images of shape {train.image_shape}"
        )
    if config.data.crop_padding >= min(height, width):
        raise ValueError(
            "`crop_padding` should be smaller than the images. Received: "
            f"crop_padding={config.data.crop_padding} for images of {height}x{width}"
        )
    for name, part in (("validation", parts.validation), ("test", parts.test)):
        if part is not None and part.image_shape != train.image_shape:
            raise ValueError(
                f"the {name} images should have the shape of the training images, "
                f"{train.image_shape}. Received: images of shape {part.image_shape}. "
                "`--image-size` and `--color` make them alike"
            )
    for part in (train, parts.validation, parts.test):
        if config.prior.conditional and part is not None and part.labels is None:
            raise ValueError(
                f"`conditional` needs labels, and the images of {part.name!r} have none. Put them "
                "into one folder a class, or leave it out"
            )
    for stage in STAGES:
        training = getattr(config, f"{stage}_training")
        if training.patience is not None and parts.validation is None:
            raise ValueError(
                "`patience` needs validation images. Received: validation_fraction=0, and the data "
                "has no validation part"
            )
    vqvae = config.vqvae
    idle = [f"{name}={getattr(vqvae, name)!r}" for name in vqvae.without_use()]
    if idle:
        of = f" with update={vqvae.update!r}" if vqvae.quantizer == "vector" else ""
        warnings.warn(
            f"the quantizer {vqvae.quantizer!r}{of} has no use for {', '.join(idle)}", stacklevel=3
        )
    model = build_image_model("vqvae", config, parts)
    for name, part in (("data", train), ("validation", parts.validation), ("test", parts.test)):
        if part is not None:  # what scale images seem to have, the training images say
            few = part.read(np.arange(min(len(part), 64)))
            model.check_images(few, name, by_scale=part is train)


def check_taken_over(vqvae: models.VQVAE, files: RunDirectory, parts: DataParts) -> None:
    """Looks at a VQ-VAE from elsewhere that is to be the first stage of a run.

    Raises:
        RunExistsError: if the run has one already, or part of one.
        ValueError: if it is for other images, or has no grid of one code a position.
    """
    if files.has_begun("vqvae"):
        raise RunExistsError(
            f"{str(files.path)!r} has a VQ-VAE, or part of one, already. Give another directory"
        )
    here = (parts.train.image_shape, parts.value_range())
    theirs = (vqvae.image_shape, vqvae.value_range)
    if here != theirs:
        raise ValueError(
            "`vqvae` should be for images of shape and value range "
            f"{here[0]}, {here[1]}. Received: a model for {theirs[0]}, {theirs[1]}"
        )
    if len(vqvae.code_shape) != 2:
        raise ValueError(
            "`vqvae` should have one code for each position of a grid: the prior of a run is a "
            f"PixelCNN over such. Received: a model with code_shape={vqvae.code_shape}"
        )


def _stages_of(difference: str) -> tuple[str, ...]:
    """The stages that a setting decides; all but the prior's own decide both."""
    return ("prior",) if difference.startswith("prior") else STAGES
