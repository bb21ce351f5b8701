"""Makes the two screenshots of the README: ``python tests/docs/make_screenshots.py``.

They show the page that ``sdclient report`` writes of the run that ``sdclient demo`` leaves; the server is simulated.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

EXAMPLES = Path(__file__).parents[2] / "examples"


def main() -> None:
    """Run the commands, open the page, and keep what is seen."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for words in (["demo", "--out", "STUDY"], ["report", "STUDY"]):
            subprocess.run([sys.executable, "-m", "sdclient", *words], cwd=folder, check=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 760})
        page.goto((Path(folder) / "STUDY" / "report.html").as_uri())
        page.wait_for_load_state("networkidle")
        _keep(page.screenshot(), "report.png")
        page.locator(".samples a").nth(5).click()
        page.wait_for_load_state("networkidle")
        page.locator("#cut").fill("40")
        _keep(page.screenshot(), "image.png")
        browser.close()


def _keep(data: bytes, name: str) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").save(EXAMPLES / name, optimize=True)


if __name__ == "__main__":
    main()
