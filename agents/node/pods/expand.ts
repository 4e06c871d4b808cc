/** $(VAR) references in commands, arguments and env values. Pure. */

/**
 * Replaces every `$(NAME)` that `lookup` knows; unknown ones stay as they are, `$$` is one `$`.
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  let out = '';
  let at = 0;
  while (at < text.length) {
    const dollar = text.indexOf('$', at);
    if (dollar < 0 || dollar + 1 >= text.length) return out + text.slice(at);
    out += text.slice(at, dollar);
    const next = text[dollar + 1];
    if (next === '$') {
      out += '$';
      at = dollar + 2;
      continue;
    }
    const close = next === '(' ? text.indexOf(')', dollar + 2) : -1;
    if (close < 0) {
      out += text.slice(dollar, dollar + 2);
      at = dollar + 2;
      continue;
    }
    const name = text.slice(dollar + 2, close);
    out += lookup(name) ?? text.slice(dollar, close + 1);
    at = close + 1;
  }
  return out;
}
