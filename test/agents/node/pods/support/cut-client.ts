/** A client that can be cut off from the cluster: calls fail and caches stay empty until it is joined. */

import { ApiError } from '../../../../../src/client/errors.ts';
import type { Client, Informer } from '../../../../../src/client/types.ts';

export class CutClient {
  readonly client: Client;
  #joined: Promise<void>;
  #join: () => void = () => {};
  #cut = false;

  constructor(inner: Client) {
    this.#joined = Promise.resolve();
    const unavailable = () =>
      Promise.reject(
        new ApiError({
          kind: 'Status',
          apiVersion: 'v1',
          metadata: {},
          status: 'Failure',
          message: 'no quorum',
          reason: 'ServiceUnavailable',
          code: 503,
        }),
      );
    const isCut = () => this.#cut;
    const joined = () => this.#joined;
    this.client = new Proxy(inner, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        if (name === 'informer') {
          return (kind: 'Pod') => cutInformer(inner.informer(kind), isCut, joined);
        }
        return (...args: unknown[]) => (isCut() ? unavailable() : value.apply(target, args));
      },
    });
  }

  cut(): void {
    this.#cut = true;
    this.#joined = new Promise((resolve) => {
      this.#join = resolve;
    });
  }

  join(): void {
    this.#cut = false;
    this.#join();
  }
}

function cutInformer<T>(
  informer: Informer<T>,
  isCut: () => boolean,
  joined: () => Promise<void>,
): Informer<T> {
  return new Proxy(informer, {
    get(target, name) {
      if (name === 'synced') return !isCut() && target.synced;
      if (name === 'whenSynced') {
        return async (signal?: AbortSignal) => {
          await joined();
          await target.whenSynced(signal);
        };
      }
      if (isCut() && name === 'get') return () => undefined;
      if (isCut() && (name === 'list' || name === 'byIndex')) return () => [];
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
