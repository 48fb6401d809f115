"""The files about a release agree with each other and with the repository."""

import pathlib
import re
import tomllib

import evonorm_tf
from tests.imports_test import PACKAGES

ROOT = pathlib.Path(__file__).parents[1]


def test_one_version():
  citation = re.search(r'^version: (\S+)$', (ROOT / 'CITATION.cff').read_text(), re.MULTILINE)[1]
  newest = re.search(r'^## (\S+)', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE)[1]
  assert evonorm_tf.__version__ == citation == newest


def test_every_package_is_typed():
  assert all((ROOT / package / 'py.typed').is_file() for package in PACKAGES)


def test_the_pinned_releases_are_those_that_the_package_wants():
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  wanted = [*project['dependencies'], *(line for extra in project['optional-dependencies'].values() for line in extra)]
  names = {re.match(r'[\w.-]+', line)[0].lower().replace('_', '-') for line in wanted} - {'evonorm-tf'}
  pinned = {line.partition('==')[0].lower().replace('_', '-')
            for line in (ROOT / 'constraints.txt').read_text().splitlines()}
  assert names <= pinned


def test_the_compatibility_script_names_tests_that_exist():
  named = re.findall(r"'([\w/]+_test\.py)'", (ROOT / 'tools' / 'compatibility.py').read_text())
  assert named and all((ROOT / 'tests' / 'evonorm_tf' / name).is_file() for name in named)


def test_the_documents_name_files_that_exist():
  for document in ('CONTRIBUTING.md', 'CHANGELOG.md'):
    for name in re.findall(r'`((?:evonorm_tf|search|tests|tools|gin)/[\w/.]+\.\w+)`', (ROOT / document).read_text()):
      assert (ROOT / name).exists(), f'{document}: {name}'
