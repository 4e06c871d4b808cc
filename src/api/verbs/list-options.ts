/** Combinations of list and watch parameters that mean nothing, refused in upstream's words. */

import { forbidden, notSupported } from '../../resources/field-errors.ts';
import type { FieldError } from '../../resources/types.ts';
import { invalid } from '../status.ts';
import type { ListOptions, WatchOptions } from '../types.ts';

const SUBJECT = { group: 'meta.k8s.io', plural: 'listoptions', kind: 'ListOptions' };
const MATCHES = ['Exact', 'NotOlderThan'];

/** Refuses meaningless parameters of a list with 422. */
export function checkListOptions(options: ListOptions): void {
  const { resourceVersion = '', resourceVersionMatch: match = '', continueToken = '' } = options;
  if (match === '') return;
  const field = 'resourceVersionMatch';
  const errors: FieldError[] = [];
  if (continueToken !== '') {
    errors.push(forbidden(field, `${field} is forbidden when continue is provided`));
  }
  if (resourceVersion === '') {
    errors.push(forbidden(field, `${field} is forbidden unless resourceVersion is provided`));
  }
  if (!MATCHES.includes(match)) errors.push(notSupported(field, match, [...MATCHES, '']));
  if (match === 'Exact' && resourceVersion === '0') {
    const detail = `${field} "exact" is forbidden for resourceVersion "0"`;
    errors.push(forbidden(field, detail));
  }
  if (errors.length > 0) throw invalid(SUBJECT, '', errors);
}

/** Refuses meaningless parameters of a watch with 422. */
export function checkWatchOptions(options: WatchOptions): void {
  const { resourceVersionMatch: match = '', sendInitialEvents } = options;
  const field = 'resourceVersionMatch';
  const errors: FieldError[] = [];
  if (sendInitialEvents === undefined && match !== '') {
    const detail = `${field} is forbidden for watch unless sendInitialEvents is provided`;
    errors.push(forbidden(field, detail));
  }
  if (sendInitialEvents !== undefined && match !== 'NotOlderThan') {
    const detail = `sendInitialEvents requires setting ${field} to NotOlderThan`;
    errors.push(forbidden(field, detail));
    if (match !== '') errors.push(notSupported(field, match, ['NotOlderThan']));
  }
  if (errors.length > 0) throw invalid(SUBJECT, '', errors);
}
