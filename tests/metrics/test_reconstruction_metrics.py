"""Metrics of images and reconstructions, and bits per dimension."""

import math

import keras
import numpy as np
import pytest
from skimage import metrics as skimage_metrics
from support import grey_images, normal

from keras_vqvae import models
from keras_vqvae.metrics import PSNR, SSIM, BitsPerDimension, MultiScaleSSIM


def pair(count, side, channels=1, noise=40.0):
    """uint8 images, and float ones like them."""
    # Small grids enlarged, so that there is structure to compare.
    images = grey_images(count, -(-side // 4), channels).repeat(4, 1).repeat(4, 2)
    images = images[:, :side, :side]
    return images, np.clip(images + normal(images.shape, 1, noise), 0, 255).astype("float32")


def over_batches(metric, *arrays, size=1):
    for start in range(0, len(arrays[0]), size):
        metric.update_state(*(a[start : start + size] for a in arrays))
    return float(metric.result())


# -- bits per dimension ---------------------------------------------------------------------------


def test_bits_per_dimension_by_hand():
    metric = BitsPerDimension(dimensions=10)
    # 2^-20 and 2^-40: 30 bits an image on average, 3 for each of 10 numbers
    metric.update_state(-np.log(2.0) * np.array([20.0, 40.0]))
    assert float(metric.result()) == pytest.approx(3.0, rel=1e-6)
    # the same again, the first one three times: (3·20 + 40) / 4 = 25 bits; with the above 80/3
    metric.update_state(-np.log(2.0) * np.array([20.0, 40.0]), np.array([3.0, 1.0]))
    assert float(metric.result()) == pytest.approx((60 + 100) / 6 / 10, rel=1e-6)


def test_parts_of_a_cost_add_up():
    image, codes = -np.abs(normal((9,), scale=90)) - 500, -np.abs(normal((9,), 1, 20)) - 60
    parts = [over_batches(BitsPerDimension(192), log_p) for log_p in (image, codes)]
    both = over_batches(BitsPerDimension(192), image + codes)
    assert sum(parts) == pytest.approx(both, rel=1e-6)
    assert both == pytest.approx(-np.mean(image + codes) / 192 / math.log(2), rel=1e-6)


def test_long_sums_lose_nothing():
    """500 batches on a state that holds 10⁹ nats: a plain float32 sum would not move at all."""
    metric = BitsPerDimension(1)
    metric.update_state(np.full((1,), -1e9, "float32"))
    update = np.full((1,), -3.0, "float32")
    for _ in range(500):
        metric.update_state(update)
    exact = (1e9 + 1500) / 501 / math.log(2)
    assert np.float32(1e9) + np.float32(3) == np.float32(1e9)
    assert float(metric.result()) == pytest.approx(exact, rel=2e-7)


@pytest.mark.parametrize("bad", [0, -3, 2.5, True])
def test_dimensions_are_a_positive_integer(bad):
    with pytest.raises(ValueError, match="dimensions"):
        BitsPerDimension(bad)


def test_log_probs_are_one_an_image():
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        BitsPerDimension(3).update_state(np.zeros((2, 3)))


# -- PSNR -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5])
def test_psnr_is_scikit_images_for_every_split(size):
    images, others = pair(5, 8, 3)
    others[3] = images[3] + 1.0  # one far better than the others: the two means differ
    references = [
        skimage_metrics.peak_signal_noise_ratio(a.astype("float32"), b, data_range=255)
        for a, b in zip(images, others, strict=True)
    ]
    whole = skimage_metrics.peak_signal_noise_ratio(
        images.astype("float32"), others, data_range=255
    )
    found = over_batches(PSNR(over="images"), images, others, size=size)
    assert found == pytest.approx(np.mean(references), rel=1e-5)
    assert over_batches(PSNR(), images, others, size=size) == pytest.approx(whole, rel=1e-5)
    assert found > whole + 1


def test_psnr_of_images_of_several_sizes_counts_pixels():
    metric, errors = PSNR(value_range=(0, 1)), []
    for side, error in ((4, 0.1), (8, 0.3)):
        metric.update_state(np.zeros((1, side, side, 1)), np.full((1, side, side, 1), error))
        errors += [error**2] * side**2
    assert float(metric.result()) == pytest.approx(-10 * np.log10(np.mean(errors)), rel=1e-5)


def test_psnr_before_and_at_the_ends():
    assert float(PSNR().result()) == 0.0
    images, others = pair(2, 4)
    for over in ("pixels", "images"):
        metric = PSNR(over=over)
        metric.update_state(images, images)
        assert float(metric.result()) == math.inf
    metric = PSNR()
    metric.update_state(images, images)
    metric.update_state(images, others)
    assert math.isfinite(float(metric.result()))


# -- SSIM -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scikit_images(channels):
    images, others = pair(3, 24, channels)
    references = [
        skimage_metrics.structural_similarity(
            a.astype("float64"),
            b.astype("float64"),
            data_range=255,
            channel_axis=-1,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
        for a, b in zip(images, others, strict=True)
    ]
    # float32, and variances as differences of means of squares
    assert over_batches(SSIM(), images, others) == pytest.approx(np.mean(references), abs=1e-5)
    assert np.ptp(references) > 0


def test_ssim_of_bytes_does_not_wrap_around():
    images, others = pair(2, 16)
    rounded = others.astype("uint8")
    from_bytes = over_batches(SSIM(), images, rounded)
    assert from_bytes == over_batches(SSIM(), images, rounded.astype("float32"))
    assert 0 < from_bytes < 1


def test_ssim_does_not_depend_on_the_scale_or_the_policy():
    images, others = pair(2, 16)
    expected = over_batches(SSIM(), images, others)
    keras.config.set_dtype_policy("mixed_float16")
    scaled = over_batches(SSIM(value_range=(-1, 1)), images / 127.5 - 1, others / 127.5 - 1)
    assert scaled == pytest.approx(expected, abs=1e-5)


def ms_ssim_by_numpy(a, b, factors):
    """MS-SSIM of one grey image in float64, on the [0, 1] scale, windows one by one."""
    x = np.arange(11) - 5.0
    window = np.exp(-(x**2) / 4.5)
    window = np.outer(window, window) / window.sum() ** 2
    a, b = a / 255.0, b / 255.0
    product = 1.0
    for scale, factor in enumerate(factors):
        if scale:
            halves = []
            for image in (a, b):
                image = np.pad(image, [(0, n % 2) for n in image.shape], mode="symmetric")
                h, w = image.shape
                halves.append(image.reshape(h // 2, 2, w // 2, 2).mean((1, 3)))
            a, b = halves
        means, contrasts = [], []
        for i in range(a.shape[0] - 10):
            for j in range(a.shape[1] - 10):
                p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                cov = (window * (p - mp) * (q - mq)).sum()
                contrasts.append((2 * cov + 0.0009) / (vp + vq + 0.0009))
                means.append((2 * mp * mq + 0.0001) / (mp**2 + mq**2 + 0.0001))
        last = scale == len(factors) - 1
        values = np.multiply(means, contrasts) if last else contrasts
        product *= max(np.mean(values), 0.0) ** factor
    return product


def test_ms_ssim_is_numpys_with_odd_sides():
    images, others = pair(2, 45)
    factors = (0.2, 0.5, 0.3)
    references = [
        ms_ssim_by_numpy(a[..., 0], b[..., 0], factors) for a, b in zip(images, others, strict=True)
    ]
    found = over_batches(MultiScaleSSIM(power_factors=factors), images, others)
    assert found == pytest.approx(np.mean(references), abs=2e-5)


@pytest.mark.tensorflow_only
def test_ms_ssim_is_that_of_tf_image():
    import tensorflow as tf

    images, others = pair(2, 177, 3, noise=20.0)
    expected = tf.image.ssim_multiscale(images.astype("float32"), others, max_val=255.0)
    found = over_batches(MultiScaleSSIM(), images, others)
    assert found == pytest.approx(float(np.mean(expected)), abs=2e-5)


def test_unlike_images_have_an_ms_ssim_of_zero():
    images = grey_images(1, 22)
    found = over_batches(MultiScaleSSIM(power_factors=(0.5, 0.5)), images, 255 - images)
    assert found == 0.0  # the contrast factor is negative


# -- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("make", [SSIM, lambda: MultiScaleSSIM(power_factors=(0.4, 0.6))])
def test_every_split_into_batches_gives_the_same(make, size):
    images, others = pair(7, 22)
    others[0] = images[0]
    expected = over_batches(make(), images, others, size=7)
    assert over_batches(make(), images, others, size=size) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("make", [PSNR, SSIM])
def test_images_count_by_their_weight(make):
    images, others = pair(3, 12)
    weighted, repeated = make(), make()
    weighted.update_state(images, others, np.array([2.0, 0.0, 1.0]))
    order = [0, 0, 2]
    repeated.update_state(images[order], others[order])
    assert float(weighted.result()) == pytest.approx(float(repeated.result()), rel=1e-6)


def test_an_image_of_weight_zero_does_not_count_even_if_its_figure_is_infinite():
    metric = PSNR(over="images")
    images, others = pair(3, 8)
    others[0] = images[0]
    metric.update_state(images, others, np.array([0.0, 1.0, 1.0]))
    assert float(metric.result()) == pytest.approx(
        over_batches(PSNR(over="images"), images[1:], others[1:]), rel=1e-6
    )
    cost = BitsPerDimension(1)
    cost.update_state(np.array([-np.inf, -math.log(2.0)]), np.array([0.0, 2.0]))
    assert float(cost.result()) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(), (2,), (3, 4, 4), (1, 3)])
def test_weights_are_one_an_image(shape):
    images = np.zeros((3, 4, 4, 1), "float32")
    with pytest.raises(ValueError, match=r"`sample_weight`.*\(batch,\).*batch of 3"):
        PSNR().update_state(images, images, np.ones(shape))


@pytest.mark.parametrize(
    ("metric", "shapes", "text"),
    [
        (SSIM(), [(1, 10, 16, 1)] * 2, "at least 11×11.*PSNR"),
        (MultiScaleSSIM(), [(1, 175, 200, 1)] * 2, "at least 176×176.*power_factors"),
        (PSNR(), [(1, 4, 4, 1), (1, 4, 4, 3)], "one shape"),
        (PSNR(), [(4, 4, 1)] * 2, "one shape"),
        (PSNR(), [(4, 4, 4, 1), (1, 4, 4, 1)], "one shape"),
        (SSIM(), [(3, 11, 11, 1), (2, 11, 11, 1)], "one shape"),
    ],
)
def test_images_that_do_not_fit_are_refused(metric, shapes, text):
    with pytest.raises(ValueError, match=text):
        metric.update_state(*(np.zeros(shape, "float32") for shape in shapes))


@pytest.mark.parametrize(
    "make",
    [
        lambda: PSNR(value_range=(1, 0)),
        lambda: SSIM(value_range=255),
        lambda: PSNR(over="batches"),
        lambda: MultiScaleSSIM(power_factors=()),
        lambda: MultiScaleSSIM(power_factors=(1.0, 0.0)),
        lambda: MultiScaleSSIM(power_factors=(1.0, math.nan)),
    ],
)
def test_settings_that_cannot_be_are_refused(make):
    with pytest.raises(ValueError, match=r"`(value_range|over|power_factors)`"):
        make()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_they_are_metrics_of_a_model(jit_compile):
    model = models.convolutional_vqvae((12, 12, 1), num_embeddings=4, widths=(4,))
    model.compile("adam", jit_compile=jit_compile, metrics=[PSNR(), SSIM()])
    images = grey_images(6, 12)
    logs = model.evaluate(images, batch_size=4, verbose=0, return_dict=True)
    decoded = model.reconstruct(images)
    assert logs["psnr"] == pytest.approx(over_batches(PSNR(), images, decoded), rel=1e-4)
    assert logs["ssim"] == pytest.approx(over_batches(SSIM(), images, decoded), abs=1e-4)
