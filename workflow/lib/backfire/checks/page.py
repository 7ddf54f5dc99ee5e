"""Checks of the report: every section says something, every figure is there, every variant is named."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

# Sections that every study has.
SECTIONS = ("verdicts", "advice", "results", "training", "maps", "geometry", "cost", "method", "repeat")
WORDS, BYTES = 12, 1000


class _Sections(HTMLParser):
    """Words and bytes of pictures of each section, by its id; what is between sections belongs to none."""

    def __init__(self, html: str):
        super().__init__()
        self.words: dict[str, list[str]] = {}
        self.pictures: dict[str, list[int]] = {}
        self.links: set[str] = set()
        self._section, self._heading = None, False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "section":
            self._section = found.get("id")
            self.words[self._section], self.pictures[self._section] = [], []
        if tag == "img" and self._section:
            self.pictures[self._section].append(len(found.get("src") or ""))
        if tag == "a":
            self.links.add((found.get("href") or "").removeprefix("#"))
        self._heading = tag == "h2"

    def handle_endtag(self, tag):
        self._section = None if tag == "section" else self._section

    def handle_data(self, data):
        if self._section and not self._heading:
            self.words[self._section] += data.split()


def check_page(found) -> Iterator[str]:
    """Every section has content, every link leads to one, and the whole page names each variant and split."""
    page = _Sections(found.page)
    for name in {*SECTIONS, *page.words}:
        if len(page.words.get(name, [])) < WORDS:
            yield f"the section '{name}' of the report is missing or says nothing"
    if page.links - page.words.keys() - {"ties"}:
        yield f"links lead nowhere: {', '.join(sorted(page.links - page.words.keys()))}"
    pictures = [size for sizes in page.pictures.values() for size in sizes]
    if any(size < BYTES for size in pictures) or len(pictures) < 4:
        yield "a figure of the report is missing or empty"
    text = " ".join(word for words in page.words.values() for word in words)
    places = ["/".join(place) for place in found.study.evaluations]
    unsaid = [name for name in (*found.study.compared, *places) if name not in text]
    if unsaid:
        yield f"the report does not name {', '.join(unsaid)}"
    said = " ".join(word for name in SECTIONS[:-1] for word in page.words.get(name, []))
    if odd := re.search(r"(?<![\w.])(nan|None|NaN|inf)(?![\w'])", said):
        yield f"the report says '{odd[0]}'"
    retained = set(found.tables["comparison"]["retention"].dropna())
    if any(word not in " ".join(page.words.get("results", [])) for word in retained):
        yield "the report does not say what held-out and other text kept"
