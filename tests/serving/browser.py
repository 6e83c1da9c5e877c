"""A real browser for tests: Debian's chromium, driven by selenium."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest


def open_browser() -> Any:
    """A headless browser, or a skip that says what is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.skip(f"no browser: {', '.join(missing)} not found (Debian: chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(programs["chromedriver"])
    return webdriver.Chrome(options=options, service=service)


class Tab:
    """
    What a person does with a page.

    :param driver: selenium's
    :param address: of the page
    """

    patience = 30.0  # s for anything to show up

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address

    def screen(self, width: int, height: int, scheme: str = "light") -> None:
        """A screen of this size, bright or dark; nothing moves by itself."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, forget: bool = True) -> None:
        """Go to the page, as somebody who was never there."""
        if forget:
            self.driver.get("about:blank")
            origin = {"origin": self.address, "storageTypes": "local_storage,session_storage"}
            self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", origin)
        self.driver.get(self.address)

    def all(self, selector: str) -> list[Any]:
        """The elements of a CSS selector."""
        return list(self.driver.find_elements("css selector", selector))

    def texts(self, selector: str) -> list[str]:
        """What a person reads in them."""
        return [element.text for element in self.all(selector)]

    def wait(self, condition: Any, what: str) -> Any:
        """Until a condition holds."""
        from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
        from selenium.webdriver.support.ui import WebDriverWait

        ignored = [StaleElementReferenceException]
        waiting = WebDriverWait(self.driver, self.patience, 0.05, ignored_exceptions=ignored)
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(f"{what}; the page says: {self.texts('body')[0]}") from None

    def see(self, selector: str, text: str) -> None:
        """Wait until one of the elements says so."""
        self.wait(lambda: any(text in one for one in self.texts(selector)), f"no {text!r}")

    def click(self, selector: str) -> None:
        """Click on what is there, as soon as it is."""
        element = self.wait(lambda: self.all(selector), f"no {selector}")[0]
        into_view = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})"
        self.driver.execute_script(into_view, element)
        element.click()

    def keys(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self) -> str:
        """What a screen reader calls the element that has the focus."""
        element = self.driver.switch_to.active_element
        return str(element.accessible_name or element.get_attribute("id") or element.tag_name)

    def complaints(self) -> list[str]:
        """What the browser complains of: scripts that fail, policies that are broken."""
        logged: list[dict[str, Any]] = self.driver.get_log("browser")
        return [one["message"] for one in logged if one["level"] == "SEVERE"]

    def audit(self) -> list[str]:
        """What axe-core finds wrong for people who cannot see or point (WCAG 2.1 A and AA)."""
        found = importlib.util.find_spec("axe_core_python")
        if found is None or not found.submodule_search_locations:
            pytest.skip("axe-core-python is not installed")
        script = Path(found.submodule_search_locations[0]) / "axe.min.js"
        self.driver.execute_script(script.read_text(encoding="utf-8"))
        result = self.driver.execute_async_script(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', "
            "'best-practice']}).then(arguments[0])"
        )
        return [
            f"{broken['id']}: {node['html']} ({node['failureSummary']})"
            for broken in result["violations"]
            for node in broken["nodes"]
        ]
