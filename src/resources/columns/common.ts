/** Columns and cells that many kinds share. */
import type { PodTemplateSpec } from '../generated/kinds.ts';
import { ageOf } from '../human-duration.ts';
import type { Column, KubeObject } from '../types.ts';

/** A column that is always shown. */
export function column(name: string, description: string, type: Column['type'] = 'string'): Column {
  return { name, type, description, priority: 0 };
}

/** A column shown with `-o wide` only. */
export function wideColumn(
  name: string,
  description: string,
  type: Column['type'] = 'string',
): Column {
  return { name, type, description, priority: 1 };
}

/** The name of the object; kubectl recognises it by its format. */
export const NAME_COLUMN: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name of the object, unique within its namespace.',
  priority: 0,
};

/** How long ago the object was created. */
export const AGE_COLUMN: Column = column('Age', 'Time since the object was created.');

/** The cell of `AGE_COLUMN`. */
export function ageCell(object: KubeObject, nowMs: number): string {
  return ageOf(object.metadata.creationTimestamp, nowMs);
}

/** The wide columns of workloads. */
export const TEMPLATE_COLUMNS: readonly Column[] = [
  wideColumn('Containers', 'Names of each container in the template.'),
  wideColumn('Images', 'Images referenced by each container in the template.'),
];

/** The cells of `TEMPLATE_COLUMNS`. */
export function templateCells(template: PodTemplateSpec | undefined): readonly string[] {
  const containers = template?.spec?.containers ?? [];
  return [
    containers.map(({ name }) => name).join(','),
    containers.map(({ image }) => image ?? '').join(','),
  ];
}
