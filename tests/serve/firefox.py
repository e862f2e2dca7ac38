"""Drives an installed Firefox by WebDriver BiDi, which it speaks itself: nothing of Playwright or a driver is needed.

A WebSocket of the standard library carries JSON both ways: a command has an id and gets an answer, and events come
between. https://w3c.github.io/webdriver-bidi/ lists both.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
#: The longest that anything may take, in seconds.
PATIENCE = 120.0
#: Firefox asks for no file's name, asks nobody outside, and shows nothing of its own.
_PREFERENCES = {
    "app.normandy.enabled": False, "app.update.disabledForTesting": True, "browser.aboutConfig.showWarning": False,
    "browser.download.alwaysOpenPanel": False, "browser.download.folderList": 2,
    "browser.download.manager.showWhenStarting": False, "browser.download.useDownloadDir": True,
    "browser.safebrowsing.downloads.enabled": False, "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False, "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False, "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False, "dom.w3c_touch_events.enabled": 1,
    "extensions.update.enabled": False, "intl.accept_languages": "en",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "network.dns.disablePrefetch": True,
    "network.prefetch-next": False, "services.settings.server": "data:,", "toolkit.telemetry.enabled": False,
}  # fmt: skip
#: The keys of WebDriver by their names.
KEYS = {
    "Control": "\ue009", "Shift": "\ue008", "Enter": "\ue007", "Tab": "\ue004", "Escape": "\ue00c",
    "ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Space": " ",
}  # fmt: skip


class _WebSocket:
    """The client's end of a WebSocket, for texts."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", "",
        )  # fmt: skip
        self._socket.sendall("\r\n".join(lines).encode())
        self._stream = self._socket.makefile("rb")
        assert b" 101 " in self._stream.readline()
        while self._stream.readline().strip():
            pass

    def send(self, text: str) -> None:
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        length = struct.pack("!BQ", 0xFF, size) if size > 0xFFFF else struct.pack("!BH", 0xFE, size)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self._socket.sendall(b"\x81" + (length if size > 125 else bytes([0x80 | size])) + mask + masked)

    def receive(self) -> str:
        """Returns the next text, which is empty at the end."""
        text = b""
        while head := self._stream.read(2):
            size = head[1] & 127
            if size > 125:
                (size,) = struct.unpack("!H" if size == 126 else "!Q", self._stream.read(2 if size == 126 else 8))
            data = self._stream.read(size)
            if head[0] & 15 < 3:
                text += data
                if head[0] & 128:
                    return text.decode()
        return ""

    def close(self) -> None:
        self._socket.close()


class Tab:
    """A page of Firefox, in a profile of its own."""

    def __init__(self, firefox: Firefox, downloads: Path) -> None:
        self._firefox, self._downloads = firefox, downloads
        self._profile = firefox.call("browser.createUserContext")["userContext"]
        self._id = firefox.call("browsingContext.create", type="tab", userContext=self._profile)["context"]
        firefox.tabs.append(self)
        #: What was wrong in the console, and the addresses that were asked for.
        self.wrong: list[str] = []
        self.addresses: list[str] = []

    def call(self, method: str, **parameters: Any) -> Any:
        return self._firefox.call(method, context=self._id, **parameters)

    def note(self, event: dict[str, Any]) -> None:
        """Notes an event, if it is one of this tab."""
        parameters = event["params"]
        if self._id not in (parameters.get("context"), parameters.get("source", {}).get("context")):
            return
        if event["method"] == "network.beforeRequestSent":
            self.addresses.append(parameters["request"]["url"])
        elif parameters["level"] in ("error", "warn"):
            self.wrong.append(str(parameters["text"]))

    def close(self) -> None:
        self._firefox.call("browser.removeUserContext", userContext=self._profile)

    def size(self, width: int, height: int) -> None:
        self.call("browsingContext.setViewport", viewport={"width": width, "height": height})

    def go(self, address: str) -> None:
        self.call("browsingContext.navigate", url=address, wait="complete")
        self.comes("document.documentElement.dataset.ready")

    def value(self, expression: str) -> Any:
        """Returns the value of an expression, which may be a promise, as JSON has it."""
        text = f"(async () => JSON.stringify(await ({expression})) ?? 'null')()"
        answer = self._firefox.call(
            "script.evaluate", expression=text, awaitPromise=True, target={"context": self._id}, userActivation=True
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"]["value"])

    def comes(self, expression: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < end, (expression, self.value("document.body.innerText"))
            time.sleep(0.05)

    def shown(self, selector: str) -> None:
        self.comes(f"[...document.querySelectorAll({json.dumps(selector)})].some((one) => one.checkVisibility())")

    def give(self, selector: str, *files: Path) -> None:
        """Chooses files in a field."""
        (node,) = self.call("browsingContext.locateNodes", locator={"type": "css", "value": selector}, maxNodeCount=1)[
            "nodes"
        ]
        self.call("input.setFiles", element={"sharedId": node["sharedId"]}, files=[str(file) for file in files])

    def drag(self, *points: tuple[float, float], kind: str = "mouse") -> None:
        """Presses at the first point of the screen, and lets go at the last one."""
        move = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 30} for x, y in points]
        actions = [move[0], {"type": "pointerDown", "button": 0}, *move[1:], {"type": "pointerUp", "button": 0}]
        source = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": actions}
        self.call("input.performActions", actions=[source])

    def click(self, selector: str, kind: str = "mouse") -> None:
        self.shown(f"{selector}:enabled, {selector}:not(button)")
        x, y, width, height = self.value(
            f"""(() => {{
              const one = document.querySelector({json.dumps(selector)});
              one.scrollIntoView({{ block: "center", behavior: "instant" }});
              const box = one.getBoundingClientRect();
              return [box.x, box.y, box.width, box.height];
            }})()"""
        )
        self.drag((x + width / 2, y + height / 2), kind=kind)

    def press(self, *keys: str) -> None:
        """Presses keys, such as Control+z, one after the other."""
        actions = []
        for key in keys:
            held = [KEYS.get(one, one) for one in key.split("+")]
            actions += [{"type": "keyDown", "value": one} for one in held]
            actions += [{"type": "keyUp", "value": one} for one in reversed(held)]
        self.call("input.performActions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def download(self, selector: str = "", key: str = "") -> Path:
        """Clicks or presses what saves a file, and returns it."""
        before = set(self._downloads.iterdir())
        if selector:
            self.click(selector)
        else:
            self.press(key)
        end = time.monotonic() + PATIENCE
        while True:
            fresh = [one for one in self._downloads.iterdir() if one not in before]
            if len(fresh) == 1 and fresh[0].suffix != ".part" and fresh[0].stat().st_size:
                return fresh[0]
            assert time.monotonic() < end, fresh
            time.sleep(0.05)

    def screenshot(self) -> bytes:
        return base64.b64decode(self.call("browsingContext.captureScreenshot")["data"])


class Firefox:
    """A Firefox without a window, and its session."""

    def __init__(self, folder: Path) -> None:
        profile, self.downloads = folder / "profile", folder / "downloads"
        for one in (profile, self.downloads):
            one.mkdir()
        preferences = {**_PREFERENCES, "browser.download.dir": str(self.downloads)}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
        (profile / "user.js").write_text("\n".join(lines))
        assert FIREFOX is not None
        command = [FIREFOX, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port=0"]
        self.process = subprocess.Popen(
            [*command, "about:blank"], stderr=subprocess.PIPE, text=True, env={**os.environ, "HOME": str(folder)}
        )
        self.tabs: list[Tab] = []
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            while not (match := re.search(r"ws://127\.0\.0\.1:(\d+)", self._lines.get(timeout=PATIENCE))):
                pass
            self._socket = _WebSocket(int(match[1]), "/session")
        except BaseException:
            self.process.kill()
            raise
        self._count = 0
        self.call("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": False}})
        self.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self._lines.put(line)

    def call(self, method: str, **parameters: Any) -> Any:
        """Sends a command and returns its result; events that come before are noted."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.receive())
            if message.get("id") == self._count:
                assert message["type"] == "success", (method, message)
                return message["result"]
            if message["type"] == "event":
                for tab in self.tabs:
                    tab.note(message)

    @contextlib.contextmanager
    def visiting(self, address: str, width: int = 1440, height: int = 900) -> Iterator[Tab]:
        """Opens the page in a fresh profile; at the end, nothing was wrong, and no request left the machine."""
        tab = Tab(self, self.downloads)
        tab.size(width, height)
        tab.go(address)
        yield tab
        assert tab.wrong == []
        assert [one for one in tab.addresses if not one.startswith((address, "data:", "blob:"))] == []
        tab.close()

    def close(self) -> None:
        self._socket.close()
        self.process.terminate()
        self.process.wait(PATIENCE)
