"""`make pictures`: the pictures of README and docs/, again: the pipeline's own on Fashion-MNIST, and pages in Chromium.

They are made in a temporary clone: params, DVC's cache and the runs of this one stay as they are.
"""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from conftest import CHROMIUM, OPTIONS
from playwright.sync_api import sync_playwright
from scratch_project import ROOT, Project
from servers import free_port
from test_docs import DATA, OVERFLOW, PICTURES, make_clone

COMMAND = "softmax-regression"
# Runs unlike each other, for the table of docs/ui.png: DVC's name -> params; the last one fails, as it should.
EXPERIMENTS = {
    "cosine": ("optimizer.learning_rate=0.05", "optimizer.momentum=0.9", "optimizer.schedule=cosine"),
    "momentum": ("optimizer.momentum=0.9", "data.validation_size=5000"),
    "digits": ("data.name=digits", "train.epochs=40"),
    "overflow": ("model.implementation=textbook", "optimizer.learning_rate=5"),
}


def main() -> None:
    """Run the pipeline, a few experiments and a comparison; write docs/*.png, all of them or none."""
    if CHROMIUM is None or not DATA.is_dir():
        sys.exit(f"error: the pictures take Chromium (found: {CHROMIUM}) and the Fashion-MNIST files in {DATA}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "shared").mkdir()
        (folder / "shared" / DATA.name).symlink_to(DATA)
        project = make_clone(folder / "softmax-regression", "fashion_mnist", epochs=10)
        run(project, COMMAND, "run")
        project.commit()
        made = {picture: project.root / output for picture, output in PICTURES.items()}
        for experiment, values in EXPERIMENTS.items():
            settings = [word for value in values for word in ("--set-param", value)]
            run(project, "dvc", "exp", "run", "--temp", "--name", experiment, *settings, may_fail=True)
        run(project, "dvc", "exp", "run", "--temp", "--name", "fast", "--set-param", "optimizer.learning_rate=0.2")
        made["ui.png"] = photograph_ui(project, folder / "ui.png")
        page = folder / "compare.html"
        run(project, COMMAND, "compare", "HEAD", "fast", "--seeds", "40", "--page", str(page))
        made[OVERFLOW] = project.root / "reports" / OVERFLOW
        made["compare.png"] = photograph(page.as_uri(), folder / "compare.png", (1200, 1330), "Seed by seed")
        for picture, source in made.items():
            shutil.copy(source, ROOT / "docs" / picture)


def run(project: Project, *command: str, may_fail: bool = False) -> None:
    """Run a command in the clone; what it says is shown."""
    print("$", *command, flush=True)
    subprocess.run(command, cwd=project.root, env=project.variables(), check=not may_fail)


def photograph_ui(project: Project, picture: Path) -> Path:
    """Serve the clone's runs, and take a picture of the page that `make ui` opens."""
    command = [COMMAND, "ui", "--no-browser", "--port", str(free_port())]
    with subprocess.Popen(
        command, cwd=project.root, env=project.variables(), stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout
            link = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
            return photograph(link, picture, (1500, 760), "matching runs")
        finally:
            server.send_signal(signal.SIGINT)


def photograph(address: str, picture: Path, size: tuple[int, int], words: str) -> Path:
    """Write what a window of `size`, in pixels, shows of a page once it has these words."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.goto(address)
        page.get_by_text(words).first.wait_for(timeout=60_000)
        page.wait_for_timeout(3000)  # ms, for what the page loads after its words
        page.screenshot(path=picture)
        browser.close()
    return picture


if __name__ == "__main__":
    main()
