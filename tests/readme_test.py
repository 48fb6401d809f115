"""The README's first program runs as it stands, and with the two imports that it gives for the other Keras."""

import pathlib
import re

import pytest

TEXT = (pathlib.Path(__file__).parents[1] / 'README.md').read_text(encoding='utf-8')
PROGRAM = re.search('```python\n(.*?)```', TEXT, re.DOTALL)[1]
IMPORTS = re.compile(r'^(?P<present>.*?)  # .*?: (?P<other>(?:import|from) .*)$', re.MULTILINE)


@pytest.mark.parametrize('keras_name', ['keras', 'tf_keras'])
def test_the_first_program(keras_name, capsys):
  program = PROGRAM if keras_name == 'keras' else IMPORTS.sub(r'\g<other>', PROGRAM)
  names = {}
  exec(program, names)  # noqa: S102  our own
  assert len(IMPORTS.findall(PROGRAM)) == 2
  assert type(names['model']).__module__.partition('.')[0] == keras_name
  assert 'loss' in capsys.readouterr().out
  assert type(names['model'].layers[-3]).__module__.endswith('keras3' if keras_name == 'keras' else 'keras2')
