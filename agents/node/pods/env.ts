/** The environment of a container: service variables, envFrom, then env in order. Pure. */

import { Buffer } from 'node:buffer';
import { expand } from './expand.ts';
import { type FieldContext, fieldValue, resourceFieldValue } from './fields.ts';
import type { ConfigMap, EnvVar, Secret } from './kinds.ts';
import type { ObjectSource } from './ports.ts';
import type { AnyContainer } from './record.ts';
import { serviceEnv } from './service-env.ts';

/** The variables, or what is missing for them, as CreateContainerConfigError says it. */
export type EnvResult =
  | { readonly kind: 'built'; readonly env: ReadonlyMap<string, string> }
  | { readonly kind: 'missing'; readonly message: string };

type Value = { readonly value: string } | { readonly missing: string } | undefined;

/** Builds the environment; `objects` gives ConfigMaps, Secrets and Services of the pod's namespace. */
export function buildEnv(
  context: FieldContext,
  spec: AnyContainer,
  objects: ObjectSource,
): EnvResult {
  const namespace = context.pod.metadata.namespace ?? 'default';
  const links = context.pod.spec.enableServiceLinks ?? true;
  const env = new Map<string, string>();
  for (const source of spec.envFrom ?? []) {
    const { prefix = '', configMapRef, secretRef } = source;
    const from = configMapRef
      ? configMapData(objects.configMap(namespace, configMapRef.name ?? ''))
      : secretRef
        ? secretData(objects.secret(namespace, secretRef.name ?? ''))
        : {};
    const ref = configMapRef ?? secretRef;
    if (from === undefined) {
      if (ref?.optional) continue;
      const kind = configMapRef ? 'configmap' : 'secret';
      return { kind: 'missing', message: `${kind} "${ref?.name ?? ''}" not found` };
    }
    for (const [key, value] of Object.entries(from)) env.set(prefix + key, value);
  }
  const services = serviceEnv(objects.services(namespace), namespace, links);
  const own = new Map(env);
  const lookup = (name: string) => own.get(name) ?? services.get(name);
  for (const variable of spec.env ?? []) {
    const found = variableValue(context, spec, variable, objects, lookup);
    if (found === undefined) continue;
    if ('missing' in found) return { kind: 'missing', message: found.missing };
    own.set(variable.name, found.value);
  }
  // The container's own variables win over those of Services.
  for (const [name, value] of services) if (!own.has(name)) own.set(name, value);
  return { kind: 'built', env: own };
}

function variableValue(
  context: FieldContext,
  spec: AnyContainer,
  variable: EnvVar,
  objects: ObjectSource,
  lookup: (name: string) => string | undefined,
): Value {
  const { valueFrom } = variable;
  if (valueFrom === undefined) return { value: expand(variable.value ?? '', lookup) };
  const { fieldRef, resourceFieldRef } = valueFrom;
  if (fieldRef) {
    const value = fieldValue(context, fieldRef);
    return value === undefined
      ? { missing: `unsupported fieldPath: ${fieldRef.fieldPath}` }
      : { value };
  }
  if (resourceFieldRef) {
    const value = resourceFieldValue(context, resourceFieldRef, spec);
    return value === undefined
      ? { missing: `unsupported container resource: ${resourceFieldRef.resource}` }
      : { value };
  }
  return keyValue(context, valueFrom, objects);
}

function keyValue(
  context: FieldContext,
  from: NonNullable<EnvVar['valueFrom']>,
  objects: ObjectSource,
): Value {
  const { metadata } = context.pod;
  const namespace = metadata.namespace ?? 'default';
  const { configMapKeyRef, secretKeyRef } = from;
  const ref = configMapKeyRef ?? secretKeyRef;
  if (ref === undefined) return { missing: 'unsupported source of an environment variable' };
  const kind = configMapKeyRef ? 'configmap' : 'secret';
  const name = ref.name ?? '';
  const data = configMapKeyRef
    ? configMapData(objects.configMap(namespace, name))
    : secretData(objects.secret(namespace, name));
  if (data === undefined) {
    return ref.optional ? undefined : { missing: `${kind} "${name}" not found` };
  }
  const value = data[ref.key];
  if (value !== undefined) return { value };
  if (ref.optional) return undefined;
  const title = configMapKeyRef ? 'ConfigMap' : 'Secret';
  return { missing: `couldn't find key ${ref.key} in ${title} ${namespace}/${name}` };
}

function configMapData(map: ConfigMap | undefined): Record<string, string> | undefined {
  return map && { ...map.data };
}

function secretData(secret: Secret | undefined): Record<string, string> | undefined {
  if (secret === undefined) return undefined;
  const entries = Object.entries(secret.data ?? {});
  return Object.fromEntries(
    entries.map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
  );
}
