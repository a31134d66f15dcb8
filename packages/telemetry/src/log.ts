/** `@stowage/telemetry/log`: one line for each notable event. */

import { debuglog } from 'node:util'
import {
  type BreakerEvent,
  CacheError,
  type CacheEvent,
  type ErrorEvent,
  type FailoverEvent,
  type NearEvent,
  type TopologyEvent,
} from '@stowage/core'
import { checkInteger, checkOptionNames } from '@stowage/core/driver'
import { Subscriptions } from './collector/subscriptions.ts'

const levels = ['info', 'warn', 'error'] as const
type Level = (typeof levels)[number]

/** What is used of a logger: the methods of pino, and of many others. */
export type Logger = Readonly<Record<Level, (fields: object, message: string) => void>>

export interface LogOptions {
  /** How many lines of one kind are written in a second. The others are counted. @default 10 */
  readonly maxPerSecond?: number | undefined
  /**
   * Returns what is logged of a key, such as a digest: it may be a session id. If it throws, `***` is logged.
   * @default its first four characters
   */
  readonly maskKey?: ((key: string) => string) | undefined
}

const optionNames = { maxPerSecond: true, maskKey: true } as const

/**
 * Logs failures, outages, changes of servers, and what is lost. Without a logger, the lines are written to stderr if
 * `NODE_DEBUG` contains `stowage`.
 *
 * @returns a function that ends it
 * @throws CacheError `ERR_CACHE_CONFIG` for an invalid option, TypeError for a logger that lacks a method
 * @example
 * import { logEvents } from '@stowage/telemetry/log'
 *
 * const write = (fields: object, message: string) => console.log(message, fields)
 * const stop = logEvents({ info: write, warn: write, error: write })
 * stop()
 */
export function logEvents(logger?: Logger, options: LogOptions = {}): () => void {
  checkOptionNames<LogOptions>('logEvents', options, optionNames)
  const { maxPerSecond = 10, maskKey = firstCharacters } = options
  checkInteger('logEvents: maxPerSecond', maxPerSecond, 1)
  checkLogger(logger)
  const on = new Subscriptions()
  subscribe(on, new LimitedLogger(logger ?? debugLogger(), maxPerSecond), maskKey)
  return () => on.end()
}

/** An event would otherwise end the process, perhaps months later. */
function checkLogger(logger: Logger | undefined): void {
  const missing = levels.find((level) => logger && typeof logger[level] !== 'function')
  if (missing === undefined) return
  throw new TypeError(
    `logEvents: the logger has no method ${missing}. Pass an object with the methods ${levels.join(', ')}, such as pino() or console.`,
  )
}

function subscribe(on: Subscriptions, log: LimitedLogger, maskKey: (key: string) => string): void {
  const keyOf = (key: string) => (key === '' ? undefined : masked(maskKey, key))
  on.add<ErrorEvent>('stowage:error', ({ cache, store, key, error, operation, isRejected }) => {
    const fields = { cache, store, key: keyOf(key), operation, ...fieldsOf(error) }
    const message = isRejected ? 'a call has failed' : 'a call went on after a failure'
    log.write(isRejected ? 'error' : 'warn', `error ${cache} ${fields.code}`, fields, message)
  })
  on.add<CacheEvent>('stowage:corrupt', ({ cache, store, key }) => {
    const message = 'a value cannot be decoded'
    log.write('warn', `corrupt ${cache}`, { cache, store, key: keyOf(key) }, message)
  })
  on.add<BreakerEvent>('stowage:breaker', ({ store, state, error }) => {
    const level = state === 'open' ? 'error' : 'info'
    log.write(level, `breaker ${store}`, { store, state, ...fieldsOf(error) }, `breaker ${state}`)
  })
  on.add<FailoverEvent>('stowage:failover', ({ store, fallback, phase, journal }) => {
    const level = phase === 'primary' ? 'info' : 'warn'
    const fields = { store, fallback, phase, journal }
    log.write(level, `failover ${store}`, fields, `failover: ${phase}`)
  })
  on.add<TopologyEvent>('stowage:topology', ({ store, change, server, error }) => {
    const level = change === 'down' || change === 'lost' ? 'warn' : 'info'
    const fields = { store, change, server, ...fieldsOf(error) }
    log.write(level, `topology ${store} ${change}`, fields, `server ${change}`)
  })
  on.add<NearEvent>('stowage:near', ({ cache, store, entries }) => {
    const message = 'a near cache has dropped all entries'
    log.write('warn', `near ${cache}`, { cache, store, entries }, message)
  })
  for (const event of ['dropped', 'late']) {
    const name = `stowage:session:${event}`
    on.add<{ cache: string; reason?: string }>(name, ({ cache, reason }) => {
      log.write('warn', name, { cache, reason }, `a write of a session was ${event}`)
    })
  }
  on.add<CacheEvent & { error: unknown }>('stowage:http:error', ({ cache, error }) => {
    const message = 'the HTTP cache has failed'
    log.write('error', `http ${cache}`, { cache, ...fieldsOf(error) }, message)
  })
}

/** The message of an error of a loader may contain anything, so that only those of caches are logged. */
function fieldsOf(error: unknown): { code?: string; reason?: string } {
  if (error === undefined) return {}
  if (CacheError.is(error)) return { code: error.code, reason: error.message }
  return { code: (error as Error | null)?.name ?? 'unknown' }
}

/** What a subscriber throws would end the process. */
function masked(maskKey: (key: string) => string, key: string): string {
  try {
    return maskKey(key)
  } catch {
    return '***'
  }
}

function firstCharacters(key: string): string {
  return `${key.slice(0, 4)}***`
}

function debugLogger(): Logger {
  const debug = debuglog('stowage')
  const write = (fields: object, message: string) => debug('%s %j', message, fields)
  return { info: write, warn: write, error: write }
}

/** How many lines of a kind were written in the current second. */
interface Window {
  startedAt: number
  lines: number
}

/** A logger that writes a limited number of lines of each kind in a second, and then how many it has omitted. */
class LimitedLogger {
  readonly #logger: Logger
  readonly #max: number
  readonly #windows = new Map<string, Window>()

  constructor(logger: Logger, max: number) {
    this.#logger = logger
    this.#max = max
  }

  write(level: Level, kind: string, fields: object, message: string): void {
    const now = performance.now()
    const window = this.#windowOf(kind, now)
    if (now - window.startedAt >= 1_000) this.#startWindow(window, level, kind, now)
    window.lines++
    if (window.lines <= this.#max) this.#logger[level](fields, `stowage: ${message}`)
  }

  #windowOf(kind: string, now: number): Window {
    let window = this.#windows.get(kind)
    if (window === undefined) {
      window = { startedAt: now, lines: 0 }
      this.#windows.set(kind, window)
    }
    return window
  }

  /** Reports what the last window has omitted, with the next line of its kind. */
  #startWindow(window: Window, level: Level, kind: string, now: number): void {
    const omitted = window.lines - this.#max
    if (omitted > 0)
      this.#logger[level]({ kind, omitted }, `stowage: ${omitted} lines were omitted`)
    window.startedAt = now
    window.lines = 0
  }
}
