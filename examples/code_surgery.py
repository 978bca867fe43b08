"""What codes mean: images between images, exchanged regions, one code through the table.

What: a VQ-VAE learns images, or is taken out of a run. Then one picture each of: the codes of
images; the straight line between two images in the encoder's space; codes that turn into another
image's, position by position; two images with a region of their codes exchanged; the code in the
middle of an image replaced by others, from near ones to far ones; and codes that no prior has
ordered, all equally likely or as often as images have them.

Paper: Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937

Command:

    python examples/code_surgery.py --output runs/code_surgery
    python examples/code_surgery.py --run runs/mine --output runs/code_surgery

Expected result: exchanged regions move parts of clothes with little change elsewhere; random codes
show textures without a whole, which is why there is a prior. `--smoke` shows in seconds that
everything works. Measured time: none.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

from keras_vqvae import data, evaluation, models, runs


def main(argv=None):
    args = parse(argv)
    keras.utils.set_random_seed(args.seed)
    vqvae, images = trained(args)
    folder = Path(args.output)
    if len(vqvae.code_shape) < 2:
        raise SystemExit("the codes of this model are no grid: there are no regions to exchange")
    codes = vqvae.encode(images)
    first, second = codes[:4], codes[4:]

    def save(name, pictures, columns):
        path = folder / f"{name}.png"
        evaluation.image_grid(pictures, columns, vqvae.value_range, path)
        print(path)

    # Original, codes, reconstruction.
    evaluation.image_grid(
        np.concatenate(
            [
                in_colour(images, vqvae),
                evaluation.codes_picture(vqvae, codes),
                in_colour(vqvae.decode(codes), vqvae),
            ]
        ),
        columns=8,
        path=folder / "codes.png",
    )
    print(folder / "codes.png")

    # Between two images: of their vectors, and of their codes.
    between = evaluation.interpolate(vqvae, images[:4], images[4:], steps=args.steps)
    save("interpolation", flat(between), args.steps)
    mixed = evaluation.mix_codes(first, second, steps=args.steps)
    save("mixed_codes", vqvae.decode(flat(mixed)), args.steps)

    # The upper half of one image on the lower half of another.
    upper = slice(0, vqvae.code_shape[0] // 2)
    swapped = evaluation.swap_region(first, second, rows=upper)
    save("swapped_regions", vqvae.decode(np.concatenate([first, second, *swapped])), 4)

    # One position, here the middle, through the table.
    row, column = (n // 2 for n in vqvae.code_shape[:2])
    paths = [evaluation.traverse_code(vqvae, c, row, column, args.steps) for c in first]
    save("traversed_code", vqvae.decode(np.concatenate(paths)), len(paths[0]))

    # Without a prior: equally likely, and as often as images have them.
    alike = evaluation.random_codes(vqvae, 8, seed=args.seed)
    as_often = evaluation.random_codes(vqvae, 8, like=codes, seed=args.seed)
    save("random_codes", vqvae.decode(np.concatenate([alike, as_often])), 8)


def trained(args):
    """A VQ-VAE and eight images that it was not trained on."""
    if args.run is not None:
        run = runs.Run.open(args.run)
        _, held_out = run.parts.evaluation()
        return run.vqvae(), held_out.read(np.arange(8) * (len(held_out) // 8))
    images = data.load_images(args.data).as_array()[: 256 if args.smoke else None]
    vqvae = models.convolutional_vqvae(images.shape[1:], num_embeddings=128, embedding_dim=16)
    vqvae.compile("adam")
    vqvae.fit(images[:-8], epochs=args.epochs, batch_size=128, verbose=2)
    return vqvae, images[-8:]


def in_colour(images, vqvae):
    """uint8 with three channels."""
    pixels = evaluation.to_bytes(images, vqvae.value_range)
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))


def flat(array):
    """The first two axes as one."""
    return array.reshape(-1, *array.shape[2:])


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", help="directory of a run; else a VQ-VAE is trained")
    parser.add_argument("--data", default="fashion_mnist_mini", help="or another name, or a folder")
    parser.add_argument("--output", default="runs/code_surgery")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="seconds, on 256 images")
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.run = 1, None
    return args


if __name__ == "__main__":
    main()
