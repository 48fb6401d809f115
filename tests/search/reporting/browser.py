"""Opens a page in Qt's Chromium, without a screen: python browser.py PAGE SCRIPT

Prints a JSON object: `result`, what the script in the file SCRIPT returns, a text, and `console`, the console's lines.
"""

import json
import os
import pathlib
import sys

os.environ |= {'QT_QPA_PLATFORM': 'offscreen', 'QTWEBENGINE_DISABLE_SANDBOX': '1',
               'QTWEBENGINE_CHROMIUM_FLAGS': '--no-sandbox --disable-gpu'}

from PyQt6.QtCore import QTimer
from PyQt6.QtCore import QUrl
from PyQt6.QtWebEngineCore import QWebEnginePage
from PyQt6.QtWebEngineWidgets import QWebEngineView
from PyQt6.QtWidgets import QApplication

_LINES = []


class _Page(QWebEnginePage):

  def javaScriptConsoleMessage(self, level, message, line, source):  # noqa: N802  (Qt's name)
    _LINES.append(f'{line}: {message}')


def main(page, script):
  """Opens the page, runs the script once it is loaded, and prints the object."""
  application = QApplication(sys.argv[:1])
  view = QWebEngineView()
  view.setPage(_Page(view))
  view.resize(1200, 900)
  view.show()

  def finish(result):
    print(json.dumps({'result': result, 'console': _LINES}))
    sys.stdout.flush()
    os._exit(0)  # Qt's threads may hang at the end

  code = pathlib.Path(script).read_text(encoding='utf-8')
  view.loadFinished.connect(lambda _: view.page().runJavaScript(code, finish))
  view.load(QUrl.fromLocalFile(os.path.abspath(page)))
  QTimer.singleShot(30_000, lambda: os._exit(1))
  application.exec()


if __name__ == '__main__':
  main(*sys.argv[1:])
