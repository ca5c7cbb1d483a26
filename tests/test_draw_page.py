"""The page "Draw a digit" in a real browser, from a server and from a folder, as readers meet it.

Needs the extra `browser` and a Chromium on the path; without them these tests are skipped. Networks
that are not published yet are replaced by random ones, which read something into any digit.
"""

import json
import shutil

import publish
import pytest
from catalogue import Project
from loopback import serving
from test_draw import NEEDS_NODE, NETWORKS, SOURCES, TESTS, node, random_network

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
NAMES = ["C1", "S2", "C3", "S4", "C5", "F6"]
SEVEN = [[(0.28, 0.21), (0.72, 0.21), (0.45, 0.83)]]


@pytest.fixture(scope="module")
def site(published_once, tmp_path_factory):
    """The HTML of a book with all networks, published or random."""
    root = tmp_path_factory.mktemp("draw") / "project"
    shutil.copytree(published_once.root, root, symlinks=True)
    project = Project.at(root)
    project.networks.mkdir()
    for name in NETWORKS:
        path = Project().networks / f"{name}.bin"
        file = path.read_bytes() if path.exists() else random_network(name)
        (project.networks / path.name).write_bytes(file)
    return publish.build_site(project, root.parent).parent


@pytest.fixture(scope="module")
def server(site):
    """The address of the site on a server of this machine."""
    with serving(site) as address:
        yield address


@pytest.fixture
def visit(browser):
    """A function that opens the page; when the test ends, nothing may have left the site."""
    contexts, complaints = [], []

    def open_page(address, viewport=WIDE, **options):
        context = browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(300_000)
        tab.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        tab.on("request", lambda request: check(request.url, address))
        tab.goto(f"{address}/draw.html")
        tab.wait_for_function(
            "document.querySelector('.draw-network') && "
            "[...document.querySelectorAll('.draw-network')]"
            ".every((each) => each.querySelector('.draw-bars li, .draw-missing'))"
        )
        return tab

    def check(url, address):
        if not url.startswith((address, "data:", "blob:")):
            complaints.append(f"asked for {url}")

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def answers(tab):
    """Return what the networks read, once the page has drawn what was asked of it."""
    tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return tab.locator(".draw-answer").all_inner_texts()


def points(tab, strokes):
    box = tab.locator(".draw-pad").bounding_box()
    for stroke in strokes:
        yield [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]


def draw_by_mouse(tab, strokes):
    tab.locator(".draw-pad").scroll_into_view_if_needed()
    for first, *rest in points(tab, strokes):
        tab.mouse.move(*first)
        tab.mouse.down()
        for place in rest:
            tab.mouse.move(*place)
        tab.mouse.up()


def draw_by_finger(tab, strokes):
    tab.locator(".draw-pad").scroll_into_view_if_needed()
    finger = tab.context.new_cdp_session(tab)

    def touch(kind, *places):
        touches = [{"x": x, "y": y} for x, y in places]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    for first, *rest in points(tab, strokes):
        touch("touchStart", first)
        for place in rest:
            touch("touchMove", place)
        touch("touchEnd")


@pytest.fixture(params=["server", "folder"])
def address(request, server, site):
    return server if request.param == "server" else site.as_uri()


def test_a_digit_is_read_and_an_empty_canvas_is_not(visit, address):
    tab = visit(address)
    assert answers(tab) == ["–"] * 4
    draw_by_mouse(tab, SEVEN)
    assert all(answer.isdigit() for answer in answers(tab))
    tab.get_by_role("button", name="Undo").click()
    assert answers(tab) == ["–"] * 4
    draw_by_mouse(tab, SEVEN + SEVEN)
    tab.get_by_role("button", name="Undo").click()
    assert all(answer.isdigit() for answer in answers(tab))
    tab.get_by_role("button", name="Clear").click()
    assert answers(tab) == ["–"] * 4
    assert tab.get_by_role("button", name="Clear").is_disabled()


def test_a_finger_draws_and_does_not_scroll(visit, server):
    tab = visit(server, NARROW, has_touch=True, is_mobile=True)
    tab.locator(".draw-pad").scroll_into_view_if_needed()
    before = tab.evaluate("scrollY")
    draw_by_finger(tab, SEVEN)
    assert all(answer.isdigit() for answer in answers(tab))
    assert tab.evaluate("scrollY") == before


def test_all_of_it_works_by_keyboard(visit, server):
    tab = visit(server)
    tab.get_by_role("button", name="a drawn 7").press("Enter")
    assert all(answer.isdigit() for answer in answers(tab))
    inspector = tab.locator(".draw-inspector")
    tab.locator(".draw-network .draw-stage").first.press("ArrowRight")
    answers(tab)
    assert "C1: map 0, row 0, column 1" in inspector.inner_text()
    assert "The products add up to" in inspector.inner_text()
    assert inspector.locator("canvas").count() == 3
    grid = tab.locator("#draw-fooler .draw-stage")
    grid.press("Enter")
    answers(tab)
    assert "Pixels turned over: 1." in tab.locator("#draw-fooler").inner_text()
    grid.press("Enter")
    answers(tab)
    assert "Pixels turned over: 0." in tab.locator("#draw-fooler").inner_text()


def test_a_click_shows_the_kernel_and_the_window(visit, server):
    tab = visit(server)
    tab.get_by_role("button", name="a drawn 3").click()
    stages = tab.locator(".draw-network").first.locator(".draw-stage")
    words = []
    for index in range(stages.count()):
        stages.nth(index).click(position={"x": 3, "y": 3})
        answers(tab)
        words.append(tab.locator(".draw-inspector").inner_text())
    assert [text.split(":")[0].split(", ")[-1] for text in words] == NAMES
    assert "times the coefficient" in words[1] and "after scaled tanh" in words[2]
    # What is looked into stays, and follows the drawing.
    tab.get_by_role("button", name="a drawn 8").click()
    answers(tab)
    assert "F6" in tab.locator(".draw-inspector h3").inner_text()
    assert tab.locator(".draw-inspector").inner_text() != words[-1]


def test_the_network_of_1998_shows_its_codes_and_marks_the_nearest(visit, server):
    tab = visit(server)
    tab.get_by_role("button", name="a drawn 4").click()
    codes = tab.locator(".draw-codes li")
    answer = answers(tab)[0]
    distances = [float(text) for text in codes.all_inner_texts()]
    assert len(distances) == 10 and str(distances.index(min(distances))) == answer
    nearest = tab.locator(".draw-codes li.draw-nearest canvas")
    assert nearest.get_attribute("aria-label") == f"the code of {answer}"


def test_the_digit_is_moved_and_moved_back(visit, server):
    tab = visit(server)
    tab.get_by_role("button", name="a drawn 5").click()
    before = answers(tab)
    slider = tab.get_by_role("slider", name="to the right (pixels)")
    slider.press("End")
    answers(tab)
    table = tab.locator("#draw-mover table")
    cells = [row.split("\t") for row in table.inner_text().splitlines() if "LeNet" in row]
    assert [row[1] for row in cells] == before and [row[2] for row in cells] == answers(tab)
    assert all(row[4] not in ("0 %", "") for row in cells)
    tab.locator("#draw-mover svg[role=img]").nth(1).wait_for()
    tab.get_by_role("button", name="Move it back").click()
    assert answers(tab) == before and slider.input_value() == "0"


def test_weights_that_are_missing_or_damaged_give_one_sentence(visit, site, tmp_path):
    broken = shutil.copytree(site, tmp_path / "html")
    networks = broken / "_static" / "networks"
    (networks / "hw7-M_avg.js").unlink()
    path = networks / "hw7-M_max.js"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(text[500:520], text[500:520][::-1]), encoding="utf-8")
    (networks / "numpy_lenet-LeNet.js").write_text("// cut short", encoding="utf-8")
    tab = visit(broken.as_uri())
    tab.wait_for_function("document.querySelectorAll('.draw-missing').length == 3")
    said = tab.locator(".draw-missing").all_inner_texts()
    assert said == [
        "LeNet in NumPy cannot be shown: the file of its weights is damaged.",
        "LeNet-5, average pooling cannot be shown: its weights have not been published yet.",
        "LeNet-5, max pooling cannot be shown: the file of its weights is damaged.",
    ]
    tab.get_by_role("button", name="a drawn 0").click()
    assert [answer.isdigit() for answer in answers(tab)] == [True]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_page_fits_and_axe_finds_nothing(visit, server, axe, viewport, theme):
    tab = visit(server, viewport, color_scheme=theme)
    tab.get_by_role("button", name="a drawn 2").click()
    tab.locator(".draw-network .draw-stage").first.press("ArrowDown")
    answers(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    tab.evaluate(axe)
    found = tab.evaluate("axe.run('.bd-article')")["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_no_other_page_loads_any_of_it(site):
    assert 'src="_static/draw/draw.js' in (site / "draw.html").read_text(encoding="utf-8")
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert page.name == "draw.html" or "draw/draw" not in text
        assert "_draw" not in text and "networks/" not in text


@NEEDS_NODE
def test_twenty_drawings_are_read(visit, server):
    """Every digit drawn twice by mouse, the second smaller and slanted; by published networks."""
    is_published = [(Project().networks / f"{name}.bin").exists() for name in NETWORKS]
    if not any(is_published):
        pytest.skip("no network is published yet")
    code = f"import {{ DIGITS }} from {json.dumps((SOURCES / 'strokes.js').as_uri())};"
    digits = json.loads(
        node("--input-type=module", "-e", f"{code} console.log(JSON.stringify(DIGITS))")
    )
    tab = visit(server)
    right = dict.fromkeys(NETWORKS, 0)
    for digit, strokes in enumerate(digits):
        slanted = [[(0.25 + 0.6 * x - 0.15 * y, 0.3 + 0.6 * y) for x, y in s] for s in strokes]
        for drawing in (strokes, slanted):
            draw_by_mouse(tab, drawing)
            for name, answer in zip(NETWORKS, answers(tab), strict=True):
                right[name] += answer == str(digit)
            tab.get_by_role("button", name="Clear").click()
    print("of twenty drawings read:", right)
    assert all(
        right[name] >= 16 for name, there in zip(NETWORKS, is_published, strict=True) if there
    )


TIMED = """async (files) => {
  const [{ NETWORKS }, { unpack }, { prepare }, { DIGITS, rasterize, resized }, { benchmark }] =
    await Promise.all([
      import("/book/_draw/networks.js"),
      import("/book/_draw/weights.js"),
      import("/book/_draw/prepare.js"),
      import("/book/_draw/strokes.js"),
      import("/tests/draw/benchmark.js"),
    ]);
  const { image } = prepare(rasterize(resized(DIGITS[2]), 140), 140);
  const times = {};
  for (const file of files) {
    const response = await fetch(`/networks/${file}.bin`);
    const { arrays } = await unpack(new Uint8Array(await response.arrayBuffer()));
    const network = NETWORKS.find((each) => each.file === file);
    times[file] = benchmark({ ...network, ...network.build(arrays) }, image);
  }
  return times;
}"""


def test_the_speed_of_a_forward_pass_is_reported(browser, site, tmp_path):
    """How fast it is, the machine and what else it does decide: so no time is asserted."""
    shutil.copytree(SOURCES, tmp_path / "book" / "_draw")
    shutil.copytree(TESTS, tmp_path / "tests" / "draw")
    shutil.copytree(site / "_static" / "networks", tmp_path / "networks")
    (tmp_path / "index.html").write_text("<!doctype html><title>benchmark</title>")
    with serving(tmp_path) as address:
        tab = browser.new_page()
        tab.goto(f"{address}/index.html")
        times = tab.evaluate(TIMED, NETWORKS)
        tab.close()
    for name, stages in times.items():
        print(f"{name}:", ", ".join(f"{stage} {ms:.2f} ms" for stage, ms in stages.items()))
    print(f"all networks: {sum(stages['all'] for stages in times.values()):.1f} ms")
    assert list(times) == list(NETWORKS)
    assert all(stages["all"] > 0 and len(stages) > 6 for stages in times.values())
