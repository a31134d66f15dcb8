import { types } from 'node:util'
import {
  type Cache,
  CacheError,
  type Clock,
  type Consistency,
  type Duration,
  milliseconds,
} from '@stowage/core'
import { checkChoice, checkInteger, checkOptionNames, consistencies } from '@stowage/core/driver'
import { warnOfShortTtl } from '@stowage/core/internal'
import { Lifetime } from './data/lifetime.ts'
import type { OldSessions, SessionsOptions } from './session-options.ts'
import { AnonymousSessions } from './users/anonymous-sessions.ts'
import { SessionUsers } from './users/session-users.ts'
import { checkIndexSecret, UserIndex } from './users/user-index.ts'

/** The options of `Sessions`, checked, and what is made from them, for all of its parts. */
export interface SessionContext {
  readonly cache: Cache
  /** That of the cache. */
  readonly clock: Clock
  readonly lifetime: Lifetime
  /** `undefined` if sessions have no users. */
  readonly users: SessionUsers | undefined
  /** `undefined` if they are not bounded. */
  readonly anonymous: AnonymousSessions | undefined
  readonly maxBytes: number
  readonly concurrency: 'merge' | 'lastWrite' | 'reject'
  readonly consistency: Consistency
  /** Whether sessions may get other ids. */
  readonly rotates: boolean
  readonly migrateFrom: OldSessions | undefined
}

const defaultMaxBytes = 65_536
const defaultMaxPerUser = 100
const defaultMaxAnonymous = 20_000
const optionNames = {
  cache: true,
  idleTimeout: true,
  absoluteTimeout: true,
  touchAfter: true,
  concurrency: true,
  index: true,
  indexSecret: true,
  maxPerUser: true,
  maxAnonymous: true,
  maxBytes: true,
  consistency: true,
  migrateFrom: true,
  rotation: true,
} as const

/** @throws CacheError `ERR_CACHE_CONFIG` for invalid options */
export function resolveOptions<T extends object>(options: SessionsOptions<T>): SessionContext {
  checkCache(options?.cache)
  checkOptionNames('Sessions', options, optionNames, "new Sessions({ cache, idleTimeout: '1d' })")
  const { cache, maxBytes = defaultMaxBytes, concurrency = 'merge' } = options
  const { consistency = 'strong', migrateFrom, rotation = false } = options
  checkChoice('Sessions: concurrency', concurrency, ['merge', 'lastWrite', 'reject'])
  checkChoice('Sessions: consistency', consistency, consistencies)
  if (maxBytes !== Infinity) checkInteger('Sessions: maxBytes', maxBytes, 1)
  if (typeof rotation !== 'boolean') throw invalid('rotation must be true or false.')
  checkOldSessions(cache, migrateFrom)
  if (cache.driver === 'null') {
    throw invalid(
      'the driver null keeps nothing, so no session would exist. Choose another driver.',
    )
  }
  return {
    ...{
      cache,
      clock: cache.clock,
      maxBytes,
      concurrency,
      consistency,
      rotates: rotation,
      migrateFrom,
    },
    lifetime: lifetimeFrom(options),
    users: usersFrom(options),
    anonymous: anonymousFrom(options),
  }
}

/** That of sessionFromEnv. Sessions that never expire would fill the store. */
const defaultLifetime = '1d'

function lifetimeFrom(
  options: Pick<SessionsOptions, 'cache' | 'idleTimeout' | 'absoluteTimeout' | 'touchAfter'>,
): Lifetime {
  const { cache, idleTimeout, absoluteTimeout, touchAfter } = options
  warnOfShortTtl('Sessions: idleTimeout', idleTimeout)
  warnOfShortTtl('Sessions: absoluteTimeout', absoluteTimeout)
  const withoutTtl = absoluteTimeout === undefined ? defaultLifetime : Infinity
  return new Lifetime({
    idleMs: positive('idleTimeout', idleTimeout ?? cache.ttl ?? withoutTtl),
    absoluteMs: absoluteMsOf(absoluteTimeout),
    touchAfterMs: touchAfter === undefined ? undefined : milliseconds(touchAfter),
    ttlStep: cache.limits.ttlStep,
  })
}

function absoluteMsOf(absoluteTimeout: Duration | undefined): number {
  return positive('absoluteTimeout', absoluteTimeout ?? Infinity)
}

function positive(name: string, duration: Duration): number {
  const ms = milliseconds(duration, `Sessions: ${name}`)
  if (ms > 0) return ms
  throw invalid(`${name} must be positive, not ${duration}.`)
}

function usersFrom<T extends object>(options: SessionsOptions<T>): SessionUsers | undefined {
  const { cache, index, indexSecret, absoluteTimeout, maxPerUser = defaultMaxPerUser } = options
  if (index === undefined) return undefined
  if (typeof index !== 'function') {
    throw invalid('index must be a function that returns the user of a session.')
  }
  checkInteger('maxPerUser', maxPerUser, 1)
  const secret = checkIndexSecret(indexSecret)
  const absoluteMs = absoluteMsOf(absoluteTimeout)
  const userIndex = new UserIndex({ cache, secret, maxPerUser, absoluteMs })
  return new SessionUsers(userIndex, (session) => index(session as T) ?? undefined)
}

function anonymousFrom<T extends object>(
  options: SessionsOptions<T>,
): AnonymousSessions | undefined {
  const { cache, index } = options
  const { maxAnonymous = index && cache.driver === 'memory' ? defaultMaxAnonymous : undefined } =
    options
  if (maxAnonymous === undefined) return undefined
  checkInteger('maxAnonymous', maxAnonymous, 1)
  if (index !== undefined) return new AnonymousSessions(cache, maxAnonymous)
  throw invalid('maxAnonymous requires index, which returns the user of a session.')
}

function checkOldSessions(cache: Cache, migrateFrom: OldSessions | undefined): void {
  if (migrateFrom === undefined) return
  const names = { cache: true, keys: true, until: true } as const
  checkOptionNames<OldSessions>('Sessions: migrateFrom', migrateFrom, names)
  const { keys = 'ids', cache: old = cache, until } = migrateFrom
  if (!isCache(old)) {
    throw invalid(
      "migrateFrom.cache must be a Cache, such as new Cache(store, { prefix: 'sess:' }).",
    )
  }
  if (!types.isDate(until) || Number.isNaN(until.getTime())) {
    throw invalid(
      'migrateFrom.until must be a valid Date: when the old cache is read for the last time.',
    )
  }
  checkChoice('migrateFrom.keys', keys, ['ids', 'digests'])
  if (keys === 'digests' && old === cache) {
    throw invalid(
      'migrateFrom with keys: digests requires the cache that the sessions were stored in.',
    )
  }
}

function invalid(problem: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', `Sessions: ${problem}`)
}

export function isCache(value: unknown): value is Cache {
  return typeof (value as Partial<Cache> | null | undefined)?.snapshot === 'function'
}

/** Also if the cache itself is passed, or `undefined`. */
function checkCache(cache: unknown): void {
  if (isCache(cache)) return
  throw new TypeError(
    "Sessions: the option cache must be a Cache, such as caches.use('session'): { cache: caches.use('session') }.",
  )
}
