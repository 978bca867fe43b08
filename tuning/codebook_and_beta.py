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

import shutil

import searching

from keras_vqvae import hypermodels, runs

SMOKE = {"width": 8, "embedding_dim": 4, "num_embeddings": [8, 16]}


@searching.one_line_errors
def main(argv=None):
    parser = searching.options(__doc__, "runs/search")
    parser.add_argument("--max-bits-per-image", type=float, help="budget of the codes")
    parser.add_argument("--workers", type=int, help="processes that do trials side by side")
    args = searching.parse(parser, argv)
    run = runs.RunConfig(
        data=runs.DataConfig(args.data, max_images=args.max_images),
        vqvae=runs.VQVAEConfig(likelihood="discretized_logistic"),
        seed=args.seed,
    )
    config = hypermodels.SearchConfig(
        searching.configured(run, "vqvae_training", args),
        max_bits_per_image=args.max_bits_per_image,
        space=SMOKE if args.smoke else {},
        **searching.given(args, "tuner", "trials", "objective", "direction"),
    )
    search = hypermodels.Search.create(args.output, config)
    if hypermodels.part_of_a_search() is not None:  # by KerasTuner's variables: docs/tuning.md
        search.take_part(verbose=2)
        return
    found = search.run(args.workers, verbose=2, report=print)
    print(hypermodels.gain_text(found))
    best = search.directory / found["run"] / "vqvae.keras"
    shutil.copyfile(best, search.directory / "best_model.keras")
    searching.keep_command(args, found["commands"][-1])


if __name__ == "__main__":
    main()
