"""The page: one HTML file with its style and pictures inside. It loads nothing from a network and runs no script.

The words and the order of its sections are in ``templates/page.html.j2``; the modules beside this one give its tables
and figures. Text is escaped by Jinja2; SVG drawn by :mod:`pipeline.report.plots` is the only markup that is passed on.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

from pipeline.report import (
    comparisons,
    domains,
    embedding,
    finetuned_tables,
    opinions,
    published_tables,
    results,
    selection_tables,
    tables,
)
from pipeline.report.collect import Content

QUALITY = 80  # of the thumbnails' WebP: some 7 kB at 216 x 144


def build(content: Content) -> str:
    """The page of ``content``. Equal content gives equal text."""
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "enumeration": tables.enumeration,
        "markup": markupsafe.Markup,
        "plain": tables.plain,
        "readable": tables.readable,
        "sentence": tables.sentence,
        "size": tables.size,
        "svg_address": _svg_address,
        "webp_address": _webp_address,
    }
    return environment.get_template("page.html.j2").render(
        content=content,
        comparisons=comparisons,
        domains=domains,
        embedding=embedding,
        finetuned=finetuned_tables.tables(content.evaluations),
        opinions=opinions,
        published=published_tables,
        results=results,
        selection_tables=selection_tables,
    )


def _webp_address(image: np.ndarray) -> str:
    """``image`` (uint8 H x W x 3) as a data URI."""
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(image).save(sink, "WEBP", quality=QUALITY, method=5)
    return f"data:image/webp;base64,{base64.b64encode(sink.getvalue()).decode()}"


def _svg_address(text: str) -> str:
    """An SVG file's text as a data URI: scripts and links in it do nothing there."""
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"
