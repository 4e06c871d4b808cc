/** Volumes of pods and their mounts in containers. */
import {
  duplicate,
  forbidden,
  invalid,
  notFound,
  notSupported,
  required,
} from '../field-errors.ts';
import type {
  Container,
  KeyToPath,
  ProjectedVolumeSource,
  Volume,
  VolumeMount,
} from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import { FILE_FIELDS, validateFieldRef } from './env.ts';
import { dnsSubdomainProblems } from './names.ts';
import { validateQuantity, validateResourceField } from './resources.ts';
import {
  validateDnsLabel,
  validateLocalPath,
  validateName,
  validateNoBacksteps,
} from './values.ts';

const FILE_MODE_MAX = 0o777;
const TOKEN_SECONDS_MIN = 600;
const TOKEN_SECONDS_MAX = 2 ** 32;
const HOST_PATH_TYPES: readonly string[] = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];

/** Failures in a pod's volumes. */
export function validateVolumes(volumes: readonly Volume[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  volumes.forEach((volume, index) => {
    const at = `${field}[${index}]`;
    errors.push(...sourceErrors(volume, at));
    errors.push(...validateDnsLabel(volume.name, `${at}.name`));
    if (names.has(volume.name)) errors.push(duplicate(`${at}.name`, volume.name));
    names.add(volume.name);
  });
  return errors;
}

/** Failures in a container's mounts and devices, given the names of the pod's volumes. */
export function validateMounts(
  container: Pick<Container, 'volumeMounts' | 'volumeDevices' | 'securityContext'>,
  volumes: ReadonlySet<string>,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const paths = new Set<string>();
  (container.volumeMounts ?? []).forEach((mount, index) => {
    const at = `${field}.volumeMounts[${index}]`;
    if ((mount.name ?? '') === '') errors.push(required(`${at}.name`));
    if (!volumes.has(mount.name)) errors.push(notFound(`${at}.name`, mount.name));
    if ((mount.mountPath ?? '') === '') errors.push(required(`${at}.mountPath`));
    if (paths.has(mount.mountPath)) {
      errors.push(invalid(`${at}.mountPath`, mount.mountPath, 'must be unique'));
    }
    paths.add(mount.mountPath);
    errors.push(...mountOptionErrors(mount, container, at));
  });
  (container.volumeDevices ?? []).forEach((device, index) => {
    const at = `${field}.volumeDevices[${index}]`;
    if (!volumes.has(device.name)) errors.push(notFound(`${at}.name`, device.name));
    if ((device.devicePath ?? '') === '') errors.push(required(`${at}.devicePath`));
  });
  return errors;
}

function mountOptionErrors(
  mount: VolumeMount,
  container: Pick<Container, 'securityContext'>,
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const { subPath = '', subPathExpr = '', mountPropagation } = mount;
  if (subPath !== '') errors.push(...validateLocalPath(subPath, `${at}.subPath`));
  if (subPathExpr !== '') {
    if (subPath !== '') {
      const why = 'subPathExpr and subPath are mutually exclusive';
      errors.push(invalid(`${at}.subPathExpr`, subPathExpr, why));
    }
    errors.push(...validateLocalPath(subPathExpr, `${at}.subPathExpr`));
  }
  if (mountPropagation === undefined) return errors;
  const modes = ['Bidirectional', 'HostToContainer', 'None'];
  if (!modes.includes(mountPropagation)) {
    errors.push(notSupported(`${at}.mountPropagation`, mountPropagation, modes));
  } else if (
    mountPropagation === 'Bidirectional' &&
    container.securityContext?.privileged !== true
  ) {
    const why = 'Bidirectional mount propagation is available only to privileged containers';
    errors.push(forbidden(`${at}.mountPropagation`, why));
  }
  return errors;
}

function sourceErrors(volume: Volume, field: string): FieldError[] {
  const given = Object.entries(volume).filter(
    ([key, value]) => key !== 'name' && value !== undefined && value !== null,
  );
  if (given.length === 0) return [required(field, 'must specify a volume type')];
  const errors = given
    .slice(1)
    .map(([key]) => forbidden(`${field}.${key}`, 'may not specify more than 1 volume type'));
  return [...errors, ...knownSourceErrors(volume, field)];
}

function knownSourceErrors(volume: Volume, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const { hostPath, emptyDir, secret, configMap, persistentVolumeClaim, nfs } = volume;
  if (hostPath !== undefined) {
    const at = `${field}.hostPath`;
    if ((hostPath.path ?? '') === '') errors.push(required(`${at}.path`));
    else errors.push(...validateNoBacksteps(hostPath.path, `${at}.path`));
    if (hostPath.type !== undefined && !HOST_PATH_TYPES.includes(hostPath.type)) {
      errors.push(notSupported(`${at}.type`, hostPath.type, HOST_PATH_TYPES));
    }
  }
  if (emptyDir?.sizeLimit !== undefined) {
    const at = `${field}.emptyDir.sizeLimit`;
    errors.push(...validateQuantity(emptyDir.sizeLimit, 'memory', at));
  }
  if (secret !== undefined) {
    const at = `${field}.secret`;
    if ((secret.secretName ?? '') === '') errors.push(required(`${at}.secretName`));
    errors.push(...modeErrors(secret.defaultMode, `${at}.defaultMode`));
    errors.push(...itemErrors(secret.items, `${at}.items`));
  }
  if (configMap !== undefined) {
    const at = `${field}.configMap`;
    if ((configMap.name ?? '') === '') errors.push(required(`${at}.name`));
    errors.push(...modeErrors(configMap.defaultMode, `${at}.defaultMode`));
    errors.push(...itemErrors(configMap.items, `${at}.items`));
  }
  if (persistentVolumeClaim !== undefined) {
    const claim = persistentVolumeClaim.claimName;
    if ((claim ?? '') === '') errors.push(required(`${field}.persistentVolumeClaim.claimName`));
  }
  if (nfs !== undefined) {
    if ((nfs.server ?? '') === '') errors.push(required(`${field}.nfs.server`));
    if ((nfs.path ?? '') === '') errors.push(required(`${field}.nfs.path`));
    else if (!nfs.path.startsWith('/')) {
      errors.push(invalid(`${field}.nfs.path`, nfs.path, 'must be an absolute path'));
    }
  }
  if (volume.downwardAPI !== undefined) {
    const at = `${field}.downwardAPI`;
    errors.push(...modeErrors(volume.downwardAPI.defaultMode, `${at}.defaultMode`));
    errors.push(...downwardErrors(volume.downwardAPI.items, at));
  }
  if (volume.projected !== undefined) {
    errors.push(...projectedErrors(volume.projected, `${field}.projected`));
  }
  return errors;
}

function projectedErrors(projected: ProjectedVolumeSource, field: string): FieldError[] {
  const errors = modeErrors(projected.defaultMode, `${field}.defaultMode`);
  (projected.sources ?? []).forEach((source, index) => {
    const at = `${field}.sources[${index}]`;
    const { secret, configMap, downwardAPI, serviceAccountToken } = source;
    if (secret !== undefined) {
      errors.push(...validateName(secret.name, dnsSubdomainProblems, `${at}.secret.name`));
      errors.push(...itemErrors(secret.items, `${at}.secret.items`));
    }
    if (configMap !== undefined) {
      errors.push(...validateName(configMap.name, dnsSubdomainProblems, `${at}.configMap.name`));
      errors.push(...itemErrors(configMap.items, `${at}.configMap.items`));
    }
    if (downwardAPI !== undefined) {
      errors.push(...downwardErrors(downwardAPI.items, `${at}.downwardAPI`));
    }
    if (serviceAccountToken !== undefined) {
      const token = `${at}.serviceAccountToken`;
      const seconds = serviceAccountToken.expirationSeconds ?? TOKEN_SECONDS_MIN;
      if (seconds < TOKEN_SECONDS_MIN) {
        const why = 'may not specify a duration less than 10 minutes';
        errors.push(invalid(`${token}.expirationSeconds`, seconds, why));
      } else if (seconds > TOKEN_SECONDS_MAX) {
        const why = 'may not specify a duration larger than 2^32 seconds';
        errors.push(invalid(`${token}.expirationSeconds`, seconds, why));
      }
      if ((serviceAccountToken.path ?? '') === '') errors.push(required(`${token}.path`));
      else errors.push(...validateLocalPath(serviceAccountToken.path, `${token}.path`));
    }
    if (Object.values(source).every((value) => value === undefined)) {
      errors.push(required(at, 'must specify a volume type'));
    }
  });
  return errors;
}

type DownwardItems = NonNullable<Volume['downwardAPI']>['items'];

function downwardErrors(items: DownwardItems, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const item of items ?? []) {
    if ((item.path ?? '') === '') errors.push(required(`${field}.path`));
    else errors.push(...validateLocalPath(item.path, `${field}.path`));
    if (item.fieldRef !== undefined) {
      errors.push(...validateFieldRef(item.fieldRef, FILE_FIELDS, `${field}.fieldRef`));
      if (item.resourceFieldRef !== undefined) {
        const why = 'fieldRef and resourceFieldRef can not be specified simultaneously';
        errors.push(invalid(field, 'resource', why));
      }
    } else if (item.resourceFieldRef !== undefined) {
      const at = `${field}.resourceFieldRef`;
      errors.push(...validateResourceField(item.resourceFieldRef, at, true));
    } else {
      errors.push(required(field, 'one of fieldRef and resourceFieldRef is required'));
    }
    errors.push(...modeErrors(item.mode, `${field}.mode`));
  }
  return errors;
}

function itemErrors(items: readonly KeyToPath[] | undefined, field: string): FieldError[] {
  return (items ?? []).flatMap((item, index) => {
    const at = `${field}[${index}]`;
    const errors: FieldError[] = [];
    if ((item.key ?? '') === '') errors.push(required(`${at}.key`));
    if ((item.path ?? '') === '') errors.push(required(`${at}.path`));
    else errors.push(...validateLocalPath(item.path, `${at}.path`));
    return [...errors, ...modeErrors(item.mode, `${at}.mode`)];
  });
}

function modeErrors(mode: number | undefined, field: string): FieldError[] {
  if (mode === undefined || (mode >= 0 && mode <= FILE_MODE_MAX)) return [];
  return [invalid(field, mode, 'must be a number between 0 and 0777 (octal), both inclusive')];
}
