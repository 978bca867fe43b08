"""How `Run.sample` draws."""

from keras_vqvae import sampling


def choose_sampler(temperature: float, top_k: int | None, top_p: float | None) -> sampling.Sampler:
    """The strategy that a temperature and one of top-k and top-p mean; temperature 0 is greedy.

    Raises:
        ValueError: for both, or values out of range.

    Example:
    >>> choose_sampler(0.9, top_k=5, top_p=None)
    TopK(k=5, temperature=0.9)
    """
    if top_k is not None and top_p is not None:
        raise ValueError(
            "`top_k` and `top_p` exclude each other: give one of them. "
            f"Received: top_k={top_k}, top_p={top_p}"
        )
    if temperature < 0:
        raise ValueError(
            "`temperature` should be at least 0, which takes the most probable code. "
            f"Received: temperature={temperature}"
        )
    if temperature == 0:
        if top_k is not None or top_p is not None:
            raise ValueError(
                "`temperature=0` takes the most probable code: leave out `top_k` and `top_p`. "
                f"Received: top_k={top_k}, top_p={top_p}"
            )
        return sampling.Greedy()
    if top_k is not None:
        return sampling.TopK(top_k, temperature)
    if top_p is not None:
        return sampling.TopP(top_p, temperature)
    return sampling.Random(temperature)
