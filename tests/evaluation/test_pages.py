import base64
import io
import math
import re
import xml.etree.ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from support import grey_images

from keras_vqvae.evaluation import Page, loss_plot, rate_plot, usage_plot, webp_rates


class Reader(HTMLParser):
    """What a browser would fetch, run and show; and whether all that is opened is closed."""

    def __init__(self):
        super().__init__()
        self.sources, self.tags, self.open, self.text = [], [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [v for k, v in attributes if k in ("src", "href", "data", "action")]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(page):
    reader = Reader()
    reader.feed(page.html())
    assert not reader.open
    return reader


def pixels(source):
    content = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def test_a_page_is_one_file_with_all_that_is_in_it(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype("uint8")
    page = Page("A run", "with a lead").section("First", "text").table([("MSE", "0.01", "of 1")])
    page.picture(picture, "below").strips([("one", picture), ("two", 255 - picture)])
    page.plot(usage_plot(np.array([3, 1])), "a plot").note("missing")
    reader = read(page)
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    assert "url(" not in page.html()
    assert "@import" not in page.html()
    np.testing.assert_array_equal(pixels(reader.sources[0]), picture)
    np.testing.assert_array_equal(pixels(reader.sources[2]), 255 - picture)
    for text in ("A run", "with a lead", "First", "MSE", "0.01", "of 1", "below", "two", "missing"):
        assert text in reader.text
    page.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page.html()


def test_texts_are_escaped_wherever_they_stand():
    bad = '<script>"&'
    page = Page(bad, bad).section(bad, bad).table([(bad, bad, bad)]).note(bad).paragraph(bad)
    page.picture(np.zeros((1, 1, 3), "uint8"), bad).strips([(bad, np.zeros((1, 1, 3), "uint8"))])
    page.plot(b"<svg/>", bad)
    reader = read(page)
    assert "script" not in reader.tags
    # title, heading and lead, section and text, three cells, note, paragraph, captions
    assert reader.text.count(bad) == 3 + 2 + 3 + 2 + 3


def svg_texts(svg):
    root = xml.etree.ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]


def test_plots_are_svg_with_text():
    texts = svg_texts(loss_plot({"loss": [3.0, 2.0], "val_loss": [3.1, math.nan]}, "nats"))
    assert {"loss", "loss, validation", "nats", "epoch", "1", "2"} <= set(texts)
    assert "if used alike" in "".join(svg_texts(usage_plot([4, 0, 2])))
    assert {"depth 0", "depth 1"} <= set(svg_texts(usage_plot([[4, 0], [1, 3]])))
    points = {"codes": (0.4, 20.0)}
    assert {"codes", "WebP"} <= set(svg_texts(rate_plot(points, {"WebP": [(1.0, 20.0)]})))
    many = {f"model {i}": (0.1 * i, 20.0 + i) for i in range(12)}  # more than there are colours
    assert set(many) <= set(svg_texts(rate_plot(many, {})))


@pytest.mark.parametrize("counts", [[7], [4, 4], [5, 1, 3]])
def test_there_is_a_bar_for_each_code(counts):
    """The bars are as wide as the line that goes through the whole plot."""
    paths = re.findall(rb'<path d="([^"]+)"[^>]*?style="([^"]+)"', usage_plot(counts))

    def extent(style):
        (drawn,) = (d for d, s in paths if style in s)
        xs = [float(x) for x in re.findall(rb"[ML] (\S+)", drawn)]
        return min(xs), max(xs)

    assert extent(b"fill: #2563a8") == pytest.approx(extent(b"stroke-dasharray"), abs=0.01)


def test_a_plot_is_the_same_every_time():
    assert usage_plot([4, 0, 2]) == usage_plot([4, 0, 2])
    assert not re.search(rb"\d{4}-\d{2}-\d{2}", usage_plot([4, 0, 2]))


def test_plots_of_nothing_are_refused():
    with pytest.raises(ValueError, match="counts"):
        usage_plot([0, 0])
    with pytest.raises(ValueError, match="curves"):
        loss_plot({}, "nats")


@pytest.mark.parametrize("channels", [1, 3])
def test_webp_costs_more_for_less_error(channels):
    images = grey_images(2, 4, channels).repeat(8, 1).repeat(8, 2)
    rates = webp_rates(images, (5, 95, None))
    assert rates == sorted(rates)
    assert [psnr for _, psnr in rates] == sorted(psnr for _, psnr in rates)
    assert rates[-1][1] == math.inf
    assert rates[-1][0] < 8
    # the file's bytes and the decoded pixels, by hand
    buffer = io.BytesIO()
    rgb = np.broadcast_to(images[0], (32, 32, 3)).copy()
    Image.fromarray(rgb).save(buffer, "WEBP", quality=95)
    one = webp_rates(images[:1], (95,))[0]
    assert one[0] == 8 * len(buffer.getvalue()) / images[0].size
    with Image.open(buffer) as file:
        decoded = np.asarray(file.convert("RGB" if channels == 3 else "L")).reshape(
            32, 32, channels
        )
    mse = np.mean((decoded / 255.0 - images[0] / 255.0) ** 2)
    assert one[1] == pytest.approx(-10 * math.log10(mse))
