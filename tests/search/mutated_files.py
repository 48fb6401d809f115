"""Files with damage, for fuzz tests: bytes, lines and JSON data that somebody or something has changed."""

import copy
import json

from hypothesis import strategies as st

DEEP = '\N{WHITE STAR}deep'  # stands for a list in a list in a list …
NUMBERS = st.sampled_from([0, 1, -1, 3, 2**31, 2**63, 10**30, 10**400, -10**400, .5, 1e-400, 1e308, float('nan'),
                           float('inf'), float('-inf')]) | st.integers(-2, 12)
WORDS = st.sampled_from(['', 'x', 'add', 'neg', 'second_moment', 'b,w,h', 'accepted', 'evolution', 'bn_relu', '\ud800',
                         '\0', 'İ', '𝕏', 'a' * 5000, DEEP, 'candidate 1'])
VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | WORDS, lambda children: st.lists(children, max_size=3) |
                      st.dictionaries(WORDS, children, max_size=3), max_leaves=4)


def paths_of(data, path=()):
  """The path to every value in JSON data, the whole included."""
  yield path
  items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
  for key, value in items:
    yield from paths_of(value, path + (key,))


@st.composite
def structures(draw, seeds):
  """JSON data of one of the seeds with one to three values replaced, deleted, added or moved, as text."""
  data = copy.deepcopy(draw(st.sampled_from(seeds)))
  for _ in range(draw(st.integers(1, 3))):
    path = draw(st.sampled_from(list(paths_of(data))))
    if not path:
      data = draw(VALUES) if draw(st.integers(0, 9)) == 0 else data
      continue
    parent = data
    for key in path[:-1]:
      parent = parent[key]
    change = draw(st.sampled_from(['replace', 'replace', 'delete', 'add', 'copy']))
    if change == 'replace':
      parent[path[-1]] = draw(VALUES)
    elif change == 'delete':
      del parent[path[-1]]
    elif change == 'copy':
      parent[path[-1]] = copy.deepcopy(draw(st.sampled_from(list(values_of(data)))))
    elif isinstance(parent, dict):
      parent[draw(WORDS)] = draw(VALUES)
    else:
      parent.insert(path[-1], draw(VALUES))
  return as_text(data, draw)


def values_of(data):
  for path in paths_of(data):
    value = data
    for key in path:
      value = value[key]
    yield value


def as_text(data, draw) -> bytes:
  """JSON, with deep lists in the place of `DEEP`, and now and then a key twice."""
  text = json.dumps(data)
  depth = draw(st.sampled_from([20, 300, 900, 100_000]))
  text = text.replace(json.dumps(DEEP), '[' * depth + ']' * depth)
  if draw(st.integers(0, 9)) == 0 and text.startswith('{"'):
    key = draw(st.sampled_from(['version', 'nodes', 'stage', 'graph', 'scores', 'config', 'format']))
    text = f'{{"{key}": {json.dumps(draw(NUMBERS))}, {text[1:]}'
  return text.encode()


@st.composite
def damaged_bytes(draw, seeds):
  """One of the seeds with one to four places overwritten, cut out, doubled, or cut off there; or lines exchanged."""
  data = bytearray(draw(st.sampled_from(seeds)))
  for _ in range(draw(st.integers(1, 4))):
    start = draw(st.integers(0, len(data)))
    end = min(len(data), start + draw(st.integers(0, 12)))
    change = draw(st.sampled_from(['overwrite', 'insert', 'cut', 'double', 'truncate', 'digit', 'lines']))
    if change == 'overwrite':
      data[start:end] = draw(st.binary(min_size=end - start, max_size=end - start))
    elif change == 'insert':
      data[start:start] = draw(st.binary(min_size=1, max_size=5) | st.sampled_from(
          [*(bytes([b]) for b in b'",{}[]-\n\xff'), b'null', b'NaN', b'9' * 5000, b'1e999', b'\\ud800']))
    elif change == 'cut':
      del data[start:end]
    elif change == 'double':
      data[start:start] = data[start:end]
    elif change == 'truncate':
      del data[start:]
    elif change == 'digit':
      digits = [i for i, byte in enumerate(data) if byte in b'0123456789']
      if digits:
        data[draw(st.sampled_from(digits))] = draw(st.sampled_from(b'0123456789'))
    else:
      data = bytearray(b'\n'.join(draw(st.permutations(bytes(data).split(b'\n')))))
  return bytes(data)
