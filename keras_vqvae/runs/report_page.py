"""What `report.html` shows."""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vqvae import evaluation
from keras_vqvae.runs.directory import STAGES
from keras_vqvae.runs.evaluating import SHEET, Drawn, Findings, Nearest
from keras_vqvae.runs.parts import class_captions

if TYPE_CHECKING:
    from keras_vqvae.runs.run import Run

_COLUMNS = 8
_CODEC_IMAGES = 128
# What the curves of a stage are drawn in.
_LOSSES = {"vqvae": "nats per dimension", "prior": "bits per code"}


def report_page(run: "Run", found: Findings, rows: list[tuple[str, str, str]]) -> evaluation.Page:
    """The page.

    Args:
        run: the run.
        found: what was found out about it.
        rows: name, value and unit of the figures, as on screen.
    """
    vqvae = run.vqvae()
    height, width, channels = vqvae.image_shape
    grid = "×".join(map(str, vqvae.code_shape))
    page = evaluation.Page(
        f"keras_vqvae: {run.directory.resolve().name}",
        f"{len(found.held_out.source)} {found.held_out.title}, {height}×{width}, {channels} "
        f"channel{'s' if channels > 1 else ''}; an image is {grid} codes out of "
        f"{vqvae.num_embeddings}. Trained on {run.config.data.source}.",
    )
    page.section("Figures").table(rows)
    for note in found.notes:
        page.note(note)
    _reconstructions(page, run, found)
    if found.drawn is not None:
        _samples(page, run, found.drawn)
    if found.nearest is not None:
        _copies(page, run, found, found.nearest)
    _usage(page, run, found)
    _rate(page, run, found)
    _losses(page, run)
    return page


def _reconstructions(page: evaluation.Page, run: "Run", found: Findings) -> None:
    vqvae = run.vqvae()
    page.section(
        "Reconstructions",
        f"Originals ({found.held_out.title}), their codes, and the images that the decoder makes "
        "of them. A square is a code; codes whose vectors are alike have like colours.",
    )
    originals = found.held_out.source.spread(2 * _COLUMNS).as_array()
    codes = vqvae.encode(originals)
    decoded = vqvae.decode(codes)
    pictures = evaluation.codes_picture(vqvae, codes)
    for start in range(0, len(originals), _COLUMNS):
        part = slice(start, start + _COLUMNS)
        page.strips(
            [
                ("original", _strip(originals[part], vqvae.value_range)),
                ("codes", _strip(pictures[part])),
                ("reconstruction", _strip(decoded[part], vqvae.value_range)),
            ]
        )


def _samples(page: evaluation.Page, run: "Run", drawn: Drawn) -> None:
    vqvae = run.vqvae()
    page.section(
        "Samples",
        "New images: codes that the prior drew, decoded."
        + ("" if drawn.labels is None else " Each was asked for by its class."),
    )
    chosen, captions = np.arange(SHEET), None
    if drawn.labels is not None:
        chosen = chosen[np.argsort(drawn.labels[chosen], kind="stable")]
        captions = class_captions(run.parts.train, drawn.labels[chosen])
    images = vqvae.decode(drawn.codes[chosen])
    pixels = evaluation.image_grid(images, _COLUMNS, vqvae.value_range, captions=captions)
    page.picture(pixels, f"{len(chosen)} samples, none left out")


def _copies(page: evaluation.Page, run: "Run", found: Findings, nearest: Nearest) -> None:
    value_range = run.vqvae().value_range
    medians = found.figures["nearest_training_image"]
    page.section(
        "Nearest training images",
        "Are samples copies? Samples above, and the training images that are nearest to them by "
        "their pixels, with the distance: the root of the mean squared difference, where black and "
        "white are 1 apart. Half of the samples are nearer to a training image than "
        f"{medians['samples']:.3f}; half of the {found.held_out.title} than "
        f"{medians['held_out_images']:.3f}, and half of their reconstructions, which are smooth as "
        f"samples are, than {medians['their_reconstructions']:.3f}. Copies would be much nearer "
        "than these.",
    )
    samples, indices, distances = (rows[:_COLUMNS] for rows in nearest)
    strips = [("sample", _strip(samples, value_range))]
    names = ("nearest", "second", "third")  # fewer where there are fewer training images
    for name, index, distance in zip(names, indices.T, distances.T, strict=False):
        images = run.parts.train.read(index)
        captions = [f"{d:.3f}" for d in distance]
        pixels = evaluation.image_grid(images, _COLUMNS, value_range, captions=captions)
        strips.append((name, pixels))
    page.strips(strips)


def _usage(page: evaluation.Page, run: "Run", found: Findings) -> None:
    codes = found.held_out.codes()  # one at each position, as a run's prior needs it
    counts = np.bincount(codes.codes.ravel(), minlength=run.vqvae().num_embeddings)
    figures = found.figures["vqvae"]
    page.section(
        "Usage of the codes",
        f"{100 * figures['codebook_usage']:.1f} % of the codes occur. Their perplexity, "
        f"{figures['perplexity']:.1f}, is the number of codes that would be as uncertain if they "
        "were used alike.",
    )
    page.plot(
        evaluation.usage_plot(counts), f"how often each code occurs in {found.held_out.title}"
    )


def _rate(page: evaluation.Page, run: "Run", found: Findings) -> None:
    vqvae, bits = run.vqvae(), found.figures["bits_per_dimension"]
    psnr = found.figures["vqvae"]["psnr_db"]
    names = {"codes_uniform": "codes, equally likely", "codes_prior": "codes under the prior"}
    points = {name: (bits[key], psnr) for key, name in names.items() if key in bits}
    pixels = found.held_out.source.spread(_CODEC_IMAGES).as_array()
    webp = evaluation.webp_rates(pixels, value_range=vqvae.value_range)
    page.section(
        "Rate and distortion",
        "What an image costs, and how well it is kept. As a yardstick the same images as WebP "
        f"files, each by itself and with its header; without loss they take {webp[-1][0]:.2f} bits "
        "per dimension, and as plain bytes 8.",
    )
    page.plot(
        evaluation.rate_plot(points, {"WebP": [r for r in webp if np.isfinite(r[1])]}),
        "towards the upper left is better",
    )


def _losses(page: evaluation.Page, run: "Run") -> None:
    page.section("Training")
    for stage, title in zip(STAGES, ("VQ-VAE", "prior"), strict=True):
        history = run.progress(stage).history
        if not history:
            continue
        wanted = [
            name
            for name in history[0]
            if (name.endswith("loss") if stage == "vqvae" else name.endswith("bits_per_code"))
        ]
        order = sorted(wanted, key=lambda name: (name.removeprefix("val_") != "loss", name[::-1]))
        curves = {name: [epoch.get(name, np.nan) for epoch in history] for name in order}
        best = run.progress(stage).best_epoch
        caption = f"{title}: {len(history)} epochs" + (f", the best is {best}" if best else "")
        page.plot(evaluation.loss_plot(curves, _LOSSES[stage]), caption)


def _strip(images: Any, value_range: tuple[float, float] = (0, 255)) -> Any:
    return evaluation.image_grid(images, _COLUMNS, value_range)
