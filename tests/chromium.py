"""Chromium without a window, for the tests and benchmarks of pages: what it shows, asks for and can be told to do."""

from __future__ import annotations

import base64
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import ElementNotInteractableException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from explorer.dashboard.server import serving

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ABSENT = None if BROWSER and DRIVER else "needs chromium and chromedriver"
WAIT_SECONDS = 60.0  # far more than anything takes, on a busy machine too
FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader", "--no-first-run")
FRONT = "#front .js-plotly-plot"


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Give a browser that logs what it asks for."""
    assert BROWSER is not None
    assert DRIVER is not None
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def served(workspace: Path) -> Iterator[str]:
    """Give the address of the dashboard of a workspace, which a thread serves meanwhile."""
    with serving(workspace, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}/"
        finally:
            server.shutdown()
            thread.join()


class Page:
    """The dashboard in a browser.

    Parameters
    ----------
    width, height
        Of the window, in pixels.
    """

    def __init__(self, driver: webdriver.Chrome, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        self.driver = driver
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        preferred = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})
        self.asked(), self.errors()  # of the page before

    def load(self, address: str) -> Page:
        """Load the page and wait until the fronts are drawn and nothing is asked for any more."""
        self.driver.get("about:blank")  # what another page asks for ends here, and is no request of this one
        self._log("performance")
        self.driver.get(address)
        self.wait(self.drawn, "the fronts are drawn")
        self.settle()
        return self

    def drawn(self) -> bool:
        """Tell whether the figure of the fronts has its points and axes."""
        return bool(
            self.js(f"const g = document.querySelector('{FRONT}'); return g?.data && g.querySelector('.xtick')")
        )

    def settle(self) -> None:
        """Wait until the page has nothing left to do."""
        self.wait(lambda: not self.js("return document.querySelector('[data-dash-is-loading]') !== null"), "it is done")

    def js(self, script: str, *arguments: object) -> Any:
        """Return what a script returns in the page."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Callable[[], Any], why: str) -> Any:
        """Return what `condition` returns, once that is true."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                if found := condition():
                    return found
            except (StaleElementReferenceException, ElementNotInteractableException):  # React has just replaced it
                pass
            assert time.monotonic() < end, f"never: {why}"
            time.sleep(0.05)

    def find(self, selector: str) -> WebElement:
        """Return the first element of a CSS selector, once there is one."""
        found: WebElement = self.wait(
            lambda: next(iter(self.driver.find_elements(By.CSS_SELECTOR, selector)), None), selector
        )
        return found

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self.js("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element shows a text."""
        try:
            self.wait(lambda: text in self.text(selector), f"{selector} shows '{text}'")
        except AssertionError as error:
            raise AssertionError(f"{error}, but '{self.text(selector)}'") from None

    def click(self, selector: str) -> None:
        """Click on an element, in the middle of the window."""
        element = self.find(selector)
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def type(self, selector: str, text: str) -> None:
        """Write a text into a field in place of what it holds, and leave the field."""
        field = self.find(selector)
        self.js("arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus(); arguments[0].select()", field)
        field.send_keys(Keys.DELETE, text, Keys.TAB)

    def drag(self, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag over an element from one point to another, in shares of its width and height from its top left."""
        element = self.find(selector)
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        width, height = element.size["width"], element.size["height"]
        places = [(round((x - 0.5) * width), round((y - 0.5) * height)) for x, y in (start, end)]
        actions = ActionChains(self.driver, duration=20)
        actions.move_to_element_with_offset(element, *places[0]).click_and_hold()
        half = [round((one + other) / 2) for one, other in zip(*places, strict=True)]
        actions.move_to_element_with_offset(element, *half).move_to_element_with_offset(element, *places[1])
        actions.release().perform()

    def points(self, name: str) -> int:
        """Return how many points the traces of a name have in the figure of the fronts."""
        script = f"""return document.querySelector('{FRONT}').data.filter(t => t.name === arguments[0])
            .reduce((sum, t) => sum + (t.x.length ?? atob(t.x.bdata).length / 4), 0)"""
        return int(self.js(script, name))

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return entries

    def asked(self) -> set[str]:
        """Return the hosts, with their ports, of everything that was asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return {urlsplit(url).netloc for url in urls if not url.startswith(("data:", "blob:"))}

    def errors(self) -> list[str]:
        """Return the errors that the page has logged since the last call."""
        return [entry["message"] for entry in self._log("browser") if entry["level"] == "SEVERE"]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        return int(self.js("const e = document.documentElement; return e.scrollWidth - e.clientWidth"))

    def shoot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        size = self.js("const e = document.documentElement; return [e.clientWidth, e.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        self.js("window.scrollTo(0, 0)")
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        path.write_bytes(base64.b64decode(shot["data"]))
