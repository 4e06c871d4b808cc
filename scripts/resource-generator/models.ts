/**
 * Reads the client package's generated models: the attribute map of a model's class says which wire
 * fields exist and of what type; its declaration file says which are optional, and describes them.
 */
import { readFileSync } from 'node:fs';
import type { FactsTable } from './facts.ts';

/** A field as the model declares it. */
export type ModelField = {
  readonly name: string;
  /** `string`, `number`, `Array<V1Container>`, `{ [key: string]: string; }`, ... */
  readonly type: string;
  readonly format: string;
  readonly required: boolean;
  readonly description: string;
};

export type Model = { readonly description: string; readonly fields: readonly ModelField[] };

type Attribute = { name: string; baseName: string; type: string; format: string };

const PACKAGE = '@kubernetes/client-node';

/** Finds models by the API's type names (`io.k8s.api.core.v1.Pod`). */
export class ModelReader {
  readonly #directory: URL;
  readonly #byClass = new Map<string, string>();
  readonly #byType = new Map<string, string>();

  constructor(facts: FactsTable) {
    this.#directory = new URL('gen/models/', import.meta.resolve(PACKAGE));
    const classes = this.#classNames();
    for (const typeName of Object.keys(facts)) {
      const className = classNamesOf(typeName).find((name) => classes.has(name));
      if (className === undefined) continue;
      this.#byClass.set(className, typeName);
      this.#byType.set(typeName, className);
    }
  }

  /** The API type name of a model class. Throws if the table of facts does not name it. */
  typeOfClass(className: string): string {
    const typeName = this.#byClass.get(className);
    if (typeName === undefined) throw new Error(`no API type is known for model ${className}`);
    return typeName;
  }

  /** The model of an API type. Throws if the package has none. */
  async read(typeName: string): Promise<Model> {
    const className = this.#byType.get(typeName);
    if (className === undefined) throw new Error(`${PACKAGE} has no model for ${typeName}`);
    const module: Record<string, { attributeTypeMap: Attribute[] }> = await import(
      new URL(`${className}.js`, this.#directory).href
    );
    const attributes = module[className]?.attributeTypeMap ?? [];
    const declaration = readFileSync(new URL(`${className}.d.ts`, this.#directory), 'utf8');
    const declared = parseDeclaration(declaration);
    return {
      description: classDescription(declaration),
      fields: attributes.map((attribute) => {
        const found = declared.get(attribute.name);
        return {
          name: attribute.baseName,
          type: attribute.type,
          format: attribute.format,
          required: found?.required ?? false,
          description: found?.description ?? '',
        };
      }),
    };
  }

  #classNames(): Set<string> {
    const index = readFileSync(new URL('all.d.ts', this.#directory), 'utf8');
    return new Set([...index.matchAll(/models\/(\w+)\.js/g)].map((match) => match[1] ?? ''));
  }
}

/** Names a model class may have: with the group when two groups share the type's name, else without. */
function classNamesOf(typeName: string): string[] {
  const parts = typeName.split('.');
  const name = parts.at(-1) ?? '';
  const version = capital(parts.at(-2) ?? '');
  const group = capital(parts.at(-3) ?? '');
  return [`${group}${version}${name}`, `${version}${name}`];
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function parseDeclaration(text: string): Map<string, { required: boolean; description: string }> {
  const fields = new Map<string, { required: boolean; description: string }>();
  const pattern = /(?:\/\*\*\n\s*\* ([^\n]*)\n\s*\*\/\n\s*)?'(\w+)'(\??):/g;
  for (const [, description = '', name = '', optional] of text.matchAll(pattern)) {
    fields.set(name, { required: optional !== '?', description: withoutEscapes(description) });
  }
  return fields;
}

function classDescription(text: string): string {
  return withoutEscapes(/\/\*\*\n\* ([^\n]*)\n\*\/\nexport declare class/.exec(text)?.[1] ?? '');
}

function withoutEscapes(text: string): string {
  return text.replaceAll(/\\(["'])/g, '$1').replaceAll(/\\n/g, '\n');
}
