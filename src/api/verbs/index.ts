/** What the rest of the program uses of the verbs. */

export type { VerbsComponents, VerbsOptions } from './components.ts';
export { createVerbs } from './registry.ts';
