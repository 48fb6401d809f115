"""Texts that could not be printed, or would write over what stands on a terminal."""

from evonorm_tf.output.printable import printable


def test_what_is_escaped_and_what_is_left_out():
  assert printable('ä b.jpg') == 'ä b.jpg'
  assert printable('a\n\x1b[31m\ud800') == r'a\n\x1b[31m\ud800'
  assert printable('a' * 60 + 'x' * 5000 + 'b' * 60) == 'a' * 60 + '...' + 'b' * 60
  assert printable('12345678', longest=4) == '12...78' and printable('1234', longest=4) == '1234'
