import type { Consistency, ReadOptions, Snapshot } from '@stowage/core'
import { backendTime } from '@stowage/core/internal'
import { type ParsedItem, parseItem, rotatedTo } from '../data/session-item.ts'
import { sessionKey } from '../data/session-key.ts'
import type { SessionContext } from '../session-context.ts'
import type { SeenSession } from '../users/session-users.ts'
import { OldSessionCache } from './old-session-cache.ts'

/** A session that was read. */
export interface ReadSession extends SeenSession {
  readonly fields: Record<string, unknown>
}

/** What a session is read for: to serve a request, or to change the session. */
type Purpose = 'request' | 'write'

const toWrite: ReadOptions = optionsFor('strong')

/**
 * Where a backend cannot list keys, a read does not read the generation as well, so that it is one command: for a second, a
 * session may be found that another process has cleared. A miss is confirmed, so what was stored since is found.
 */
function optionsFor(consistency: Consistency): ReadOptions {
  return { consistency, confirmGeneration: 'on-miss', forUpdate: true }
}

/** Reads sessions. Items that are not sessions, and sessions that have expired, are missing. */
export class SessionReader {
  /** Where sessions are moved from. */
  readonly old: OldSessionCache
  readonly #context: SessionContext
  readonly #options: ReadOptions

  constructor(context: SessionContext) {
    this.#context = context
    this.#options = optionsFor(context.consistency)
    this.old = new OldSessionCache(context)
  }

  /** Reads a session by its key, or, if it has not been moved yet, by its id. */
  read(key: string, id: string): Promise<ReadSession | undefined> {
    return this.#read(key, id, 'request')
  }

  /** Reads a session at strong consistency, in order to change it. Its old ids lead to it for an hour. */
  readToWrite(key: string, id: string): Promise<ReadSession | undefined> {
    return this.#read(key, id, 'write')
  }

  /** @param passed the keys that have led to this one */
  async #read(
    key: string,
    id: string,
    purpose: Purpose,
    passed: readonly string[] = [],
  ): Promise<ReadSession | undefined> {
    const { cache, users } = this.#context
    const options = purpose === 'write' ? toWrite : this.#options
    // In the same round trip, where the user is known.
    const index = users?.readKnown(key)
    // Without a session, nothing awaits it.
    index?.catch(() => {})
    const snapshot = await cache.snapshot(key, options)
    const found = this.#sessionOf(snapshot, key, false)
    if (found === undefined) {
      return this.#readElsewhere(id, snapshot.value, purpose, [...passed, key])
    }
    if (users === undefined) return found
    const exists = async () => (await cache.snapshot(key, toWrite)).value !== undefined
    return (
      (await users.ifListed(key, found, await index, exists)) ?? this.#readRotated(key, purpose)
    )
  }

  /** Reads a session that was rotated between the read of the session and that of the list of its user. */
  async #readRotated(key: string, purpose: Purpose): Promise<ReadSession | undefined> {
    const { cache, rotates } = this.#context
    if (!rotates) return undefined
    const next = rotatedTo((await cache.snapshot(key, toWrite)).value)
    return next === undefined ? undefined : this.#read(next, next, purpose)
  }

  /** Reads a session that is not where it was expected: it was rotated, or not moved yet. */
  async #readElsewhere(
    id: string,
    value: unknown,
    purpose: Purpose,
    passed: readonly string[],
  ): Promise<ReadSession | undefined> {
    if (value === undefined) return this.readOld(id)
    // A request that has read the session before its rotation may be slow.
    const isLimited = purpose === 'request' && rotatedTo(value) !== undefined
    const key = rotatedTo(value, isLimited ? await backendTime(this.#context.cache) : undefined)
    // Damaged items may lead to each other.
    const isNext = key !== undefined && !passed.includes(key)
    return isNext ? this.#read(key, key, purpose, passed) : undefined
  }

  /** Reads a session where sessions are moved from. */
  async readOld(id: string): Promise<ReadSession | undefined> {
    const snapshot = await this.old.read(id, toWrite)
    if (snapshot === undefined) return undefined
    const key = sessionKey(id)
    const found = this.#sessionOf(snapshot, key, true)
    const exists = async () => (await this.old.read(id, toWrite))?.value !== undefined
    if (found === undefined || (await this.#context.users?.hasEnded(key, found, exists)))
      return undefined
    // Its list is not moved: it is listed when it is stored.
    return found && { ...found, stored: { ...found.stored, isListed: false } }
  }

  /** Returns the session of a value that was read; `undefined` if it is not a session or has expired. */
  parse(value: unknown, json?: string): ParsedItem | undefined {
    const parsed = parseItem(value, json)
    const { clock, lifetime } = this.#context
    return parsed && lifetime.hasExpired(parsed.session, clock.now()) ? undefined : parsed
  }

  #sessionOf(snapshot: Snapshot<unknown>, key: string, isOld: boolean): ReadSession | undefined {
    const parsed = this.parse(snapshot.value, snapshot.jsonText)
    return parsed && { key, fields: parsed.fields, stored: parsed.session, snapshot, isOld }
  }
}
