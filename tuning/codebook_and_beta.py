"""Search for codebook size and β, and what goes with them, by what held-out images cost.

What: KerasTuner trains VQ-VAEs with other settings; the first trial has the defaults. The objective
is bits per dimension: the image given its codes, plus the codes by how often each occurs. The best
model is kept as `best_model.keras`, with the command that trains it in full. A search that was
interrupted goes on with the same command.

Paper: Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937

Command:

    python tuning/codebook_and_beta.py --data fashion_mnist_mini --trials 9 --output runs/search
    python tuning/analyse.py runs/search

`--smoke` shows in seconds that everything works.
"""

import searching

from keras_vqvae import data, hypermodels, runs


@searching.one_line_errors
def main(argv=None):
    parser = searching.options(__doc__, "runs/search")
    parser.add_argument("--max-bits-per-image", type=float, help="budget of the codes")
    args = searching.parse(parser, argv)
    images = data.load_images(args.data, "train")
    train, validation = images.split(0.1, seed=args.seed)
    train, validation = (
        part.subset(range(min(args.max_images or len(part), len(part)))).as_array()
        for part in (train, validation)
    )
    config = runs.RunConfig(
        data=runs.DataConfig(args.data),
        vqvae=runs.VQVAEConfig(likelihood="discretized_logistic"),
        seed=args.seed,
    )
    hypermodel = hypermodels.VQVAEHyperModel(
        train.shape[1:],
        searching.configured(config, "vqvae_training", args),
        max_bits_per_image=args.max_bits_per_image,
        train_images=len(train),
        **({"width": 8, "embedding_dim": 4, "num_embeddings": [8, 16]} if args.smoke else {}),
    )
    best = searching.search(args, hypermodel, train, validation_data=validation)
    words = searching.train_words(hypermodel.config(best), f"{args.output}_best")
    searching.keep_command(args, words)


if __name__ == "__main__":
    main()
