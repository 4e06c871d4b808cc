/**
 * Finds keys that stand twice in one object of a JSON text, which JSON.parse silently merges. Only called on texts that
 * have been parsed already, so the scanner relies on their being well-formed.
 */

/** Most duplicates reported; the rest adds nothing. */
export const DUPLICATES_MAX = 100;

type Frame = {
  /** Keys seen, for objects; undefined for arrays. */
  readonly keys: Set<string> | undefined;
  /** Current key or index. */
  at: string | number;
};

/** Paths of duplicate fields in upstream's form: `metadata.labels`, `spec.containers[0].image`. */
export function duplicateKeys(text: string): readonly string[] {
  const found: string[] = [];
  const stack: Frame[] = [];
  let expectKey = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x22) {
      const end = endOfString(text, index);
      const top = stack[stack.length - 1];
      if (expectKey && top?.keys !== undefined) {
        top.at = keyOf(text, index, end);
        if (top.keys.has(top.at) && found.length < DUPLICATES_MAX) found.push(pathOf(stack));
        top.keys.add(top.at);
        expectKey = false;
      }
      index = end;
    } else if (code === 0x7b) {
      stack.push({ keys: new Set(), at: '' });
      expectKey = true;
    } else if (code === 0x5b) {
      stack.push({ keys: undefined, at: 0 });
      expectKey = false;
    } else if (code === 0x7d || code === 0x5d) {
      stack.pop();
      expectKey = false;
    } else if (code === 0x2c) {
      const top = stack[stack.length - 1];
      if (top === undefined) continue;
      expectKey = top.keys !== undefined;
      if (typeof top.at === 'number') top.at++;
    }
  }
  return found;
}

/** Index of the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end > 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end;
}

function isEscaped(text: string, index: number): boolean {
  let slashes = 0;
  while (text.charCodeAt(index - 1 - slashes) === 0x5c) slashes++;
  return slashes % 2 === 1;
}

function keyOf(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end);
  return raw.includes('\\') ? String(JSON.parse(`"${raw}"`)) : raw;
}

function pathOf(stack: readonly Frame[]): string {
  let path = '';
  for (const { at } of stack) {
    if (typeof at === 'number') path += `[${at}]`;
    else path += path === '' ? at : `.${at}`;
  }
  return path;
}
