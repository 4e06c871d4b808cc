/** Structured logs: pino, one JSON object a line on standard error, a child logger per scope. */

import { pino } from 'pino';

/** What the code may call of a logger: `log.info({pod}, 'pod started')`. */
export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
  child(bindings: object): Logger;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** The process's root logger. `level` defaults to info. Keys that hold secrets are censored. */
export function createLogger(level: LogLevel = 'info', bindings: object = {}): Logger {
  return pino(
    {
      level,
      base: bindings,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
      redact: ['token', 'secret', 'password', '*.token', '*.secret', '*.password'],
    },
    pino.destination({ fd: 2, sync: false }),
  );
}

/** A logger that says nothing, for tests. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
