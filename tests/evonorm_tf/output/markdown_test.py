"""Markdown against what is written by hand."""

from evonorm_tf.output import markdown


def test_table():
  assert markdown.table(['layer', 'a|b'], [['x · γ\n+ β', 1], ['|x|', 2.5]]) == (
      '| layer | a\\|b |\n| --- | --- |\n| x · γ + β | 1 |\n| \\|x\\| | 2.5 |')
  assert markdown.table(['layer', 'score'], []) == '–'
  assert markdown.table(['mutation'], [['node 4: neg(x) → μ[b,w,h](x)'], ['`a[b](c)|d`']]) == (
      '| mutation |\n| --- |\n| node 4: neg(x) → μ\\[b,w,h\\](x) |\n| `a[b](c)\\|d` |')


def test_literal():
  text = 'of a <lambda>, s[w,h](x) and 2*3, `an[d](this)` and one ` more'
  assert markdown.literal(text) == r'of a \<lambda\>, s\[w,h\](x) and 2\*3, `an[d](this)` and one ` more'
  assert markdown.literal(r'evonorm_b0.__init__(), ~x~, \*a') == r'evonorm_b0.\_\_init\_\_(), \~x\~, \\\*a'


def test_one_line():
  assert markdown.one_line(' two\n  lines\t') == 'two lines'
  assert markdown.one_line('x' * 200) == 'x' * 200
  assert markdown.one_line('x' * 201) == 'x' * 199 + '…'
