"""Make a PDF of the whole book: `python tools/paper.py`, or `make pdf`.

A copy of the book under build/paper is made fit for paper, and LaTeX sets it. On paper nothing can
be pressed or unfolded: each folded answer stands at the end of its chapter, with the pages of
question and answer at either place; folded code, which only draws or measures, is left out, and so
are the buttons. The tables that code shows become tables of LaTeX. What a page says on the screen
alone, or on paper alone, it marks:

    <!-- note: on the screen -->
    Press the button.
    <!-- note: end of screen -->
    <!-- note: on paper: There is no button. -->

The PDF lies in book/_build, and the site that is built after it offers it (book/_ext/on_paper.py).
"""

import copy as copying
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pages
import yaml
from catalogue import CatalogueError, Project, read_notebook, read_results, tags, write_notebook
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from sphinx.util.texescape import escape
from sphinx.util.texescape import init as init_escape

sys.path.append(str(Path(__file__).resolve().parents[1] / "book" / "_ext"))

from sharing import site_address  # noqa: E402

PDF = "cnn-homework.pdf"
PROGRAMS = ("xelatex", "latexmk")
PACKAGES = (
    "texlive-xetex texlive-latex-extra texlive-fonts-recommended latexmk "
    "fonts-freefont-otf fonts-texgyre-math fonts-dejavu-core"
)
FOLD = re.compile(
    r"^<details>\s*<summary>(?P<summary>.*?)</summary>\s*(?P<body>.*?)\s*^</details>",
    re.DOTALL | re.MULTILINE,
)
BUTTONS = re.compile(r"^\[Open in Colab\].*?\n\n", re.DOTALL | re.MULTILINE)
SCREEN = re.compile(r"<!-- note: on the screen -->.*?<!-- note: end of screen -->", re.DOTALL)
PAPER = re.compile(r"<!-- note: on paper: (.*?)\s*-->", re.DOTALL)
TO_DRAW = re.compile(r" · \[[^\]]*\]\(draw\.md\)")
CAPTION = re.compile(r"\*\*Figure \d+\.\*\*")
TOGETHER = "```{raw} latex\n\\nopagebreak\n```\n\n"  # what stands above and below
ROOM = "```{raw} latex\n\\room{5\\baselineskip}\n```\n\n"  # else begin a new page
SHOWN = 6  # lines of what scrolls on the screen
ERROR = re.compile(r"WARNING|ERROR|[Ee]xception")
WIDEST = 12  # points by which a line may stick out: less than a letter of a heading

PREAMBLE = r"""
\usepackage{unicode-math}
\setmathfont{TeX Gyre Termes Math}
\usepackage[labelformat=empty,font=small]{caption}
\setcounter{secnumdepth}{-1}
\setcounter{tocdepth}{1}
\makeatletter
\fancypagestyle{normal}{\fancyhf{}
  \fancyhead[L]{\py@HeaderFamily\@title}
  \fancyhead[R]{\py@HeaderFamily\nouppercase{\leftmark}}
  \fancyfoot[L]{\py@HeaderFamily\nouppercase{\rightmark}}
  \fancyfoot[R]{\py@HeaderFamily\thepage}
  \renewcommand{\headrulewidth}{0.4pt}
  \renewcommand{\footrulewidth}{0.4pt}}
\makeatother
\def\sphinxtablecontinued#1{\textsf{continued}}
\newenvironment{sphinxclasscell_input}{\sphinxsetup{VerbatimColor={HTML}{F3F5F7}}}{}
\newenvironment{sphinxclasscell_output}{\sphinxsetup{VerbatimColor={HTML}{FFFFFF}}}{}
\fvset{fontsize=\fontsize{7.4}{9.4}\selectfont}
\let\attablestart\sphinxattablestart
\def\sphinxattablestart{\attablestart\footnotesize\tabcolsep=4pt}
\let\atlongtablestart\sphinxatlongtablestart
\def\sphinxatlongtablestart{\atlongtablestart\footnotesize\tabcolsep=4pt}
\emergencystretch=3em
\makeatletter\@secpenalty=-20\makeatother % a page is rather full than ends above a heading
\newcommand{\room}[1]{\par\penalty0
  \ifdim\pagetotal<\pagegoal\ifdim\dimexpr\pagegoal-\pagetotal<#1\break\fi\fi}
"""
FONTS = r"""
\setmainfont{FreeSerif}
\setsansfont{FreeSans}
\setmonofont{DejaVu Sans Mono}[Scale=0.82,
  ItalicFont=DejaVu Sans Mono,ItalicFeatures={FakeSlant=0.2},
  BoldItalicFont=DejaVu Sans Mono Bold,BoldItalicFeatures={FakeSlant=0.2}]
"""
TITLE_PAGE = r"""
\hypersetup{pdftitle={TITLE}}
\begin{titlepage}\sffamily\raggedright
\vspace*{0.25\textheight}
{\Huge\bfseries TITLE\par}
\vspace{2em}
LINES
\end{titlepage}
"""
LICENCE = (
    "Answers and code are under the MIT licence. The homeworks belong to their courses and "
    "authors, who are named under References; they are restated here in other words."
)


class NoPaper(RuntimeError):
    """No PDF can be made; the message says why, one line a reason."""


class _Table(HTMLParser):
    """Reads one table of those that `helpers` shows: its caption, and its rows of cells."""

    def __init__(self, html: str):
        super().__init__()
        self.caption, self.head, self.rows, self.sides = "", [], [], []
        self.feed(html)  # the parser calls the methods below

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            style = dict(attributes).get("style") or ""
            if len(self.rows) == 1 and not self.head:
                self.sides.append("---:" if "right" in style else ":---")

    def handle_endtag(self, tag: str) -> None:
        if tag == "thead":
            self.head = self.rows.pop()

    def handle_data(self, text: str) -> None:
        if self.rows:
            self.rows[-1][-1] += text
        else:
            self.caption += text  # it stands first


def table(html: str) -> str:
    """Return an HTML table of text, as `helpers.figures.table` shows it, in Markdown.

    A table without a head gets an empty one, which book/_ext/on_paper.py takes away again.
    """
    read = _Table(html)
    head = read.head or [""] * len(read.sides)
    lines = [_row(head), _row(read.sides, escape=False), *map(_row, read.rows)]
    return "\n".join([f"```{{table}} {_escaped(read.caption)}", *lines, "```"])


def _row(cells: list[str], escape: bool = True) -> str:
    return f"| {' | '.join(map(_escaped, cells) if escape else cells)} |"


def _escaped(text: str) -> str:
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def for_paper(text: str) -> str:
    """Return Markdown without what is for the screen alone, with what is for paper alone."""
    return PAPER.sub(r"\1", SCREEN.sub("", text))


def page(text: str) -> str:
    """Return a page's Markdown for paper: what is folded stands below a heading of its own."""
    text = TO_DRAW.sub("", for_paper(text))
    text = re.sub(r"^(#+) \[(.*)\]\((.*)\)$", r"\1 \2\n\n[To the chapter](\3)", text, flags=re.M)
    return FOLD.sub(r"### \g<summary>\n\n\g<body>", text)


def chapter(name: str, notebook: NotebookNode) -> NotebookNode:
    """Return the executed copy of the chapter `name` as it stands on paper."""
    notebook = copying.deepcopy(notebook)
    answers: list[str] = []

    def asked(fold: re.Match) -> str:
        number, summary = len(answers) + 1, fold["summary"]
        hint = "" if summary in ("Answer", "Solution") else f"{summary}: "
        head = f"**Answer {number}** to [the question](#{name}-question-{number})"
        target = f"({name}-answer-{number})=\n{head}"
        answers.append(f"{ROOM}{target}\n\n{TOGETHER}{fold['body']}")
        return f"({name}-question-{number})=\n→ {hint}[Answer {number}](#{name}-answer-{number})"

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            source = FOLD.sub(asked, for_paper(BUTTONS.sub("", cell.source)))
            cell.source = TOGETHER + source if CAPTION.match(source) else source
            continue
        if "scroll-output" in tags(cell):
            shorten(cell)
        if "hide-input" in tags(cell):
            cell.metadata.tags = ["remove-input" if cell.outputs else "remove-cell"]
        for output in cell.outputs:
            html = output.get("data", {}).get("text/html", "")
            if "<table" in html:
                output.data = {"text/markdown": table(html)}
    if answers:
        text = "\n\n".join(["## Answers", *answers])
        notebook.cells.append(new_markdown_cell(text, id="answers-on-paper"))
    return notebook


def shorten(cell: NotebookNode) -> None:
    """Leave the first lines of what a cell printed, and say how many are left out."""
    prints = [output for output in cell.outputs if output.output_type == "stream"]
    lines = "".join(output.text for output in prints).splitlines()
    if len(lines) > SHOWN + 1:
        left_out = f"… {len(lines) - SHOWN} more lines, which the notebook shows"
        prints[0].text = "\n".join([*lines[:SHOWN], left_out])
        cell.outputs = [each for each in cell.outputs if each not in prints[1:]]


def make_book(project: Project, folder: Path) -> None:
    """Write the book, fit for paper, into a fresh folder, with its settings and contents."""
    shutil.rmtree(folder, ignore_errors=True)
    left_out = ("_build", "_config.yml", "_toc.yml", "notebooks", "networks", "_draw", "draw.md")
    shutil.copytree(project.book, folder, ignore=shutil.ignore_patterns(*left_out))
    for path in folder.glob("*.md"):
        path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
    for entry in project.published():
        copy = chapter(entry.name, read_notebook(project.copy(entry.name)))
        write_notebook(copy, folder / "notebooks" / f"{entry.name}.ipynb")
    settings = yaml.safe_load(project.config.read_text(encoding="utf-8"))
    front = (folder / "index.md").read_text(encoding="utf-8").partition("\n")[2]
    (folder / "preface.md").write_text(f"# About this book\n{front}", encoding="utf-8")
    (folder / "index.md").write_text(f"# {settings['title']}\n", encoding="utf-8")
    contents = yaml.safe_load(pages.table_of_contents(project))
    files = [each["file"] for part in contents["parts"] for each in part["chapters"]]
    chapters = [{"file": name} for name in ("preface", *files) if name != "draw"]
    contents = {"format": "jb-book", "root": "index", "chapters": chapters}
    for name, content in (("_config", paper_settings(project, settings)), ("_toc", contents)):
        text = yaml.safe_dump(content, allow_unicode=True)
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")


def paper_settings(project: Project, settings: dict) -> dict:
    """Return the settings of the book on paper, from those of the book."""
    sphinx = settings["sphinx"]
    extensions = dict.fromkeys(sphinx["local_extensions"], str(project.root / "book" / "_ext"))
    elements = {
        "papersize": "a4paper",
        "pointsize": "10pt",
        "extraclassoptions": "openany,oneside",
        "fncychap": "",
        "fontpkg": FONTS,
        "sphinxsetup": "hmargin={21mm,21mm},vmargin={24mm,24mm},iconpackage=none",
        "preamble": PREAMBLE,
        "maketitle": title_page(project, settings),
        "printindex": "",
    }
    config = sphinx["config"] | {
        "latex_elements": elements,
        "latex_show_pagerefs": True,
        "latex_show_urls": "footnote",
        "latex_table_style": ["booktabs"],
        "latex_domain_indices": False,
        "latex_use_xindy": False,
    }
    latex = {
        "latex_engine": "xelatex",
        "use_jupyterbook_latex": False,
        "latex_documents": {"targetname": "book.tex"},
    }
    return settings | {
        "sphinx": sphinx | {"local_extensions": extensions, "config": config},
        "latex": latex,
    }


def title_page(project: Project, settings: dict) -> str:
    """Return the title page in LaTeX: title, authors, the dates of the runs, address, licence."""
    results = (read_results(project.results(entry.name)) for entry in project.published())
    dates = sorted({result["provenance"]["date"] for result in results})
    init_escape()
    lines = [escape(f"By {settings['author']}")]
    if dates:
        runs = f"Its numbers are those of the published runs of {dates[0]} to {dates[-1]}."
        lines.append(escape(runs))
    repository = project.address()[0]
    if site := site_address(repository):
        lines.append(rf"On the screen: \url{{{site}}}; the notebooks: \url{{{repository}}}")
    lines.append(LICENCE)
    text = "\n".join(rf"{line}\par\vspace{{1em}}" for line in lines)
    return TITLE_PAGE.replace("TITLE", escape(settings["title"])).replace("LINES", text)


def make_pdf(project: Project) -> Path:
    """Make the PDF of the book and return its path; raises `NoPaper`."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise NoPaper(
            f"{' and '.join(missing)} of LaTeX cannot be found, which set the book; "
            f"on Debian and Ubuntu: apt-get install {PACKAGES}"
        )
    folder = project.build / "paper"
    make_book(project, folder / "book")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(folder / "book"), "--builder", "latex", "--path-output", str(folder)]
    command += ["-W", "-n", "--keep-going", "--all"]
    print("Setting the book, about two minutes.", flush=True)
    run = subprocess.run(command, cwd=project.root, capture_output=True, text=True)
    told = [line for line in (run.stdout + run.stderr).splitlines() if re.search(ERROR, line)]
    if run.returncode:
        raise NoPaper("\n".join(["jupyter-book could not write the book for LaTeX:", *told]))
    latex = folder / "_build" / "latex"
    command = ["latexmk", "-pdfxe", "-interaction=nonstopmode", "-halt-on-error", "book.tex"]
    run = subprocess.run(command, cwd=latex, capture_output=True, text=True, errors="replace")
    log = latex / "book.log"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else run.stdout
    if (faults := log_faults(text)) or run.returncode:
        if any("not found" in fault or "cannot be found" in fault for fault in faults):
            faults.append(f"on Debian and Ubuntu: apt-get install {PACKAGES}")
        raise NoPaper("\n".join([f"LaTeX could not set the book well ({log}):", *faults]))
    goal = project.book / "_build" / PDF
    goal.parent.mkdir(exist_ok=True)
    shutil.copy(latex / "book.pdf", goal)
    return goal


def log_faults(log: str) -> list[str]:
    """Return what a reader would miss, by LaTeX's log: pages, letters, ends of lines."""
    faults = re.findall(r"^! .*\n(?:.*\n){,6}?l\.\d+ .*", log, re.MULTILINE)
    faults += sorted(set(re.findall(r"Missing character: .*", log)))
    faults += re.findall(r"LaTeX Warning: (?:Hyper r|R)eference .* undefined.*", log)
    for line in re.finditer(r"Overfull \\hbox \((\d+)\.\d+pt too wide\).*\n.*", log):
        if int(line[1]) > WIDEST:
            faults.append(line[0].replace("\n", ": "))
    return faults


def main() -> int:
    """Make the PDF; return the exit status."""
    try:
        goal = make_pdf(Project())
    except (CatalogueError, NoPaper) as error:
        print("\n".join(f"✗ {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 1
    print(f"The book for paper is at {goal.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
