"""Hooks of MkDocs: the README is the site's first page, and links to files outside of docs/ go to the repository."""

import pathlib
import re
from typing import Any

_OUTSIDE = re.compile(r'\]\(\.\./([^)#]+)')


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
  """Returns a page's text with links that the site can follow.

  Args:
    markdown: the text in docs/.
    page: the page.
    config: the site's configuration.
    files: all files of the site.
  """
  repository = f'{config["repo_url"]}/blob/main'
  if page.file.src_uri == 'index.md':
    markdown = pathlib.Path(config['config_file_path']).with_name('README.md').read_text(encoding='utf-8')
    outside = re.compile(r'\]\((?!https?://|docs/|#)([^)#]+)')
    return outside.sub(rf']({repository}/\1', markdown).replace('](docs/', '](')
  return _OUTSIDE.sub(rf']({repository}/\1', markdown)
