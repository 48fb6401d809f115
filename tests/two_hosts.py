"""Two hosts that both are this one."""

import json
import socket


def tf_configs() -> list[str]:
  """Returns the environment variable TF_CONFIG of each, with ports that are free now."""
  sockets = [socket.socket() for _ in range(2)]
  for s in sockets:
    s.bind(('127.0.0.1', 0))
  addresses = [f'127.0.0.1:{s.getsockname()[1]}' for s in sockets]
  for s in sockets:
    s.close()
  return [json.dumps({'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': index}})
          for index in range(2)]
