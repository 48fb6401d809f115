"""Texts from outside, such as names in files and messages of libraries, as they can be printed on one line."""


def printable(text: str, longest: int = 120) -> str:
  """Returns a text as it can be printed on one line of a terminal.

  Args:
    text: any string, even one with lone surrogates, which no encoding can write, or with control characters.
    longest: the number of characters that are kept of a long text, half of them from its end; by default 120.

  Returns:
    The text with such characters escaped, and in the middle of a long one `...`.
  """
  text = ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
  half = longest // 2
  return text if len(text) <= longest else f'{text[:half]}...{text[-half:]}'
