"""Ways in which a checkpoint is damaged: functions of its folder and name that return the file that is at fault."""

import pathlib


def flip(content, position):
  """The bytes with one bit changed."""
  changed = bytearray(content)
  changed[position // 8] ^= 1 << position % 8
  return bytes(changed)


def _changing(extension, change):
  def damage(folder, name):
    path = pathlib.Path(folder) / f'{name}{extension}'
    content = change(path.read_bytes())
    if content is None:
      path.unlink()
    else:
      path.write_bytes(content)
    return path.name

  return damage


def _name_another(folder, name):
  del name
  state = pathlib.Path(folder) / 'checkpoint'
  state.write_text('model_checkpoint_path: "ckpt-99"\nall_model_checkpoint_paths: "ckpt-99"\n')
  return 'ckpt-99.index'


_DATA = '.data-00000-of-00001'
DAMAGES = {
    'data cut': _changing(_DATA, lambda content: content[:len(content) // 2]),
    'data empty': _changing(_DATA, lambda content: b''),
    'bit flipped': _changing(_DATA, lambda content: flip(content, 8 * (len(content) // 3))),
    'shard missing': _changing(_DATA, lambda content: None),
    'index cut': _changing('.index', lambda content: content[:len(content) // 2]),
    'index garbage': _changing('.index', lambda content: bytes(range(256)) * 4),
    'index missing': _changing('.index', lambda content: None),
    'checkpoint names another': _name_another,
}


def contents(folder):
  """The content of each file of a folder, by path."""
  return {path: path.read_bytes() for path in pathlib.Path(folder).rglob('*') if path.is_file()}
