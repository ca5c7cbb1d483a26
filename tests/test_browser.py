"""The site in a real browser: each page wide and narrow, light, dark and on paper, and by keyboard.

Needs the extra `browser` and a Chromium on the path (Debian's package `chromium`), which
`BROWSER=1 bash .ci/run` installs; without them these tests are skipped. To keep them short, each
page is loaded once, and then looked at in every way.
"""

import re
from collections.abc import Iterator

import pytest
from catalogue import Project
from conftest import ROOT
from loopback import serving
from test_site import chapters

pytestmark = pytest.mark.long  # all of them in one process, which had better begin early

PAGES = chapters(Project().toc)
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]
WIDE, NARROW, PAPER = 1280, 390, 718  # CSS pixels; the last are 190 mm, A4 without its margins

# A word of each chapter that a reader may look for.
WORDS = {
    "notebooks/numpy_lenet": "im2col",
    "notebooks/hw7": "trajectories",
    "notebooks/custom_lenet5": "subsampling",
    "notebooks/sgd_variants": "RMSProp",
    "notebooks/cifar10_resnet": "Swish",
}

# What axe-core finds in the theme's own parts, which no page can change: the link "Skip to main
# content" stands outside all landmarks.
OF_THE_THEME = ("region",)

MAX_BYTES = 1_600_000  # of a page with its pictures


@pytest.fixture(scope="module")
def address(book_site) -> Iterator[str]:
    """The address at which the built book is served, on loopback."""
    with serving(book_site) as address:
        yield f"{address}/"


class Visit:
    """A page of the site in a tab of its own, and what it complained about or asked for."""

    def __init__(self, browser, address: str):
        # Motion would show a colour of neither theme for a moment.
        self.tab = browser.new_page(
            viewport={"width": WIDE, "height": 900}, reduced_motion="reduce", color_scheme="light"
        )
        self.tab.set_default_timeout(120_000)
        self.address, self.complaints = address, []
        self.tab.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.tab.on("console", self._on_console)
        self.tab.route("**/*", self._on_request)

    def _on_console(self, message) -> None:
        if message.type in ("error", "warning"):
            place = message.location.get("url", "")
            self.complaints.append(f"{message.type}: {message.text} ({place})")

    def _on_request(self, route) -> None:
        if route.request.url.startswith((self.address, "data:")):
            route.continue_()
        else:
            self.complaints.append(f"asks for {route.request.url}")
            route.abort()

    def open(self, page: str) -> None:
        """Load a page, and wait until its formulas are drawn."""
        self.tab.goto(f"{self.address}{page}")
        self.tab.evaluate("() => window.MathJax?.startup?.promise")
        self.tab.evaluate((ROOT / "tests" / "browser.js").read_text(encoding="utf-8"))

    def ask(self, function: str) -> list[str]:
        """Return what a function of tests/browser.js finds."""
        return self.tab.evaluate(f"() => faults.{function}()")

    def resize(self, width: int) -> None:
        """Make the window as wide as said; the theme then looks anew at what scrolls."""
        self.tab.set_viewport_size({"width": width, "height": 900})
        self.tab.evaluate("() => scrollTo(0, 0)")  # which hides the theme's button "Back to top"
        self.tab.wait_for_timeout(500)  # until the theme has looked

    def layout_faults(self) -> list[str]:
        """Return where the page is wider than its window, or cuts something off on paper."""
        found = [f"{WIDE}: {fault}" for fault in self.ask("wide")]
        self.resize(NARROW)
        found += [f"{NARROW}: {fault}" for fault in self.ask("wide")]
        self.resize(PAPER)
        self.tab.emulate_media(media="print")
        found += self.ask("cut")
        self.tab.emulate_media(media="screen")
        self.resize(WIDE)
        return found

    def keyboard_faults(self) -> list[str]:
        """Return which kinds of folds the keyboard does not open and close."""
        found = []
        for kind in (".bd-article details.folded", ".bd-article details:not(.folded)"):
            fold = self.tab.locator(kind).first
            if not fold.count():
                continue
            summary = fold.locator("summary").first
            summary.focus()
            for key, state in (("Enter", True), ("Space", False)):
                self.tab.keyboard.press(key)
                if summary.evaluate("summary => summary.parentElement.open") != state:
                    found.append(f"{kind}: {key} does not {'open' if state else 'close'} it")
        return found

    def access_faults(self, axe: str) -> list[str]:
        """Return what axe-core finds, but for the theme's own; it spoils the page."""
        self.tab.evaluate(axe)
        self.ask("thin")
        found = []
        for width in (NARROW, WIDE):
            self.resize(width)
            found += [(f"{width}: ", fault) for fault in self.ask("structure")]
        # What shows at one width only is not seen at the other, and so is not thinned out there.
        for width in (WIDE, NARROW):
            self.resize(width)
            self.ask("thinner")
            for scheme in ("light", "dark"):
                self.tab.evaluate(
                    "scheme => { document.documentElement.dataset.theme = scheme }", scheme
                )
                found += [(f"{width}, {scheme}: ", fault) for fault in self.ask("contrast")]
        return [place + fault for place, fault in found if not fault.startswith(OF_THE_THEME)]


@pytest.fixture
def visit(browser, address) -> Iterator[Visit]:
    """A tab of its own."""
    visit = Visit(browser, address)
    yield visit
    visit.tab.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_sound(page, visit, axe):
    visit.open(f"{page}.html")
    faults = visit.ask("images") + visit.layout_faults() + visit.keyboard_faults()
    assert faults + visit.access_faults(axe) + visit.complaints == []


# What each planted fault is told as. Those of one group are planted into one page together; the
# second group is pale in neither theme but the one that it is told of.
PLANTED = [
    {
        "asks for https://example.org/x.png": "<img src='https://example.org/x.png' alt='x'>",
        "not loaded": "<img src='none.png' alt='x'>",
        "says nothing": "<img src='_static/favicon.svg' alt=''>",
        "error: planted": "<img src='none.png' alt='x' onerror='throw Error(\"planted\")'>",
        "1280: the page is": "<div style='width: 2000px'>wide</div>",
        "cut off on paper: div": (
            "<div style='overflow: auto; width: 50px'><p style='width: 90px'>0123456789</p></div>"
        ),
        "Enter does not open it": (
            "<details onclick='event.preventDefault()'><summary>a</summary></details>"
        ),
        "1280: button-name": "<button></button>",
        "1280, light: color-contrast": "<p style='color: #eee; background: #fff'>pale</p>",
    },
    {
        "390: the page is": "<div style='width: 600px'>wide</div>",
        "390: button-name": (
            "<style>@media (min-width: 600px) { .planted { display: none } }</style>"
            "<button class='planted'></button>"
        ),
        "390, dark: color-contrast": "<p style='color: #333; background: inherit'>dark on dark</p>",
    },
]


@pytest.mark.parametrize("number", range(len(PLANTED)))
def test_planted_faults_are_noticed(number, visit, axe):
    visit.open("data.html")
    assert visit.complaints == []
    visit.tab.evaluate(
        "html => document.querySelector('.bd-article').insertAdjacentHTML('afterbegin', html)",
        "".join(PLANTED[number].values()),
    )
    visit.tab.wait_for_load_state("networkidle")
    faults = visit.ask("images") + visit.layout_faults() + visit.keyboard_faults()
    faults += visit.access_faults(axe) + visit.complaints
    for told in PLANTED[number]:
        assert [fault for fault in faults if told in fault], (told, faults)
    if number:  # the wide page hides what shows on the narrow one alone, and light is not dark
        assert not [
            f for f in faults if f.startswith(("1280: button", "1280, light", "390, light"))
        ]


def test_what_is_folded_is_missed_on_paper_where_the_rules_for_paper_are_gone(visit):
    visit.open("results.html")
    assert not [fault for fault in visit.layout_faults() if "not on paper" in fault]
    visit.tab.evaluate(
        "() => [...document.styleSheets].filter(sheet => sheet.href?.includes('book.css'))"
        ".forEach(sheet => { sheet.disabled = true })"
    )
    assert [fault for fault in visit.layout_faults() if "not on paper" in fault]


def test_a_dark_page_is_printed_in_light_colours(visit):
    visit.tab.emulate_media(color_scheme="dark")
    visit.open("data.html")
    theme = "() => document.documentElement.dataset.theme"
    assert visit.tab.evaluate(theme) == "dark"
    visit.tab.evaluate(f"() => {{ onbeforeprint = () => {{ window.printed = ({theme})() }} }}")
    visit.tab.pdf()
    assert visit.tab.evaluate("() => window.printed") == "light"
    assert visit.tab.evaluate(theme) == "dark"


@pytest.mark.parametrize("page", CHAPTERS)
def test_the_search_finds_a_word_of_each_chapter(page, visit):
    visit.open("search.html")
    field = visit.tab.locator("input[name=q]:visible").first
    field.fill(WORDS[page])
    field.press("Enter")
    visit.tab.locator(f"#search-results a[href*='{page}.html']").first.wait_for()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_light(page, book_site):
    path = book_site / f"{page}.html"
    html = path.read_text(encoding="utf-8")
    pictures = {path.parent / source for source in re.findall(r'<img[^>]*\bsrc="([^":]+)"', html)}
    size = path.stat().st_size + sum(picture.stat().st_size for picture in pictures)
    assert size <= MAX_BYTES, f"{size / 1e6:.1f} MB"
    # What must be there before the page shows holds no formulas and no pictures.
    head = html.partition("</head>")[0]
    assert not re.search(r"<script(?![^>]*defer)[^>]*mathjax", head)
