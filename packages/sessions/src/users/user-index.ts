import { type Cache, CacheError, type ReadOptions, type Snapshot } from '@stowage/core'
import { conflict, retryOnConflict } from '@stowage/core/driver'
import { isJsonObject } from '../data/json-object.ts'
import { listPrefix } from '../data/session-key.ts'

/**
 * When a session began, in epoch milliseconds; its lifetime after each request, in milliseconds, `null` for ever; and the key
 * that it had first, if it has another one now.
 */
type Entry = readonly [created: number, lifetimeMs: number | null, firstKey?: string]

/** The sessions of a user, by key. */
type Entries = Readonly<Record<string, Entry>>

/**
 * All sessions of a user were ended. Some may be in no list: those that were stored before the option `index` was set or by a
 * process without it, and those that have not been moved yet. The ones that began before do not count any more.
 */
interface EndedMark {
  /** In epoch milliseconds, as `until`, when no session can be left that began before. */
  readonly at: number
  readonly until: number
  /** The key of the one that was spared. */
  readonly kept: string | null
}

/** What the store has for a user. */
export interface SeenIndex {
  readonly entries: Entries
  readonly ended: EndedMark | undefined
  /** In epoch milliseconds, by the clock of the process that has written it. */
  readonly writtenAt: number
}

/** What the list of a user becomes. Without `ended`, a mark is kept. */
type Change = Pick<SeenIndex, 'entries'> & { readonly ended?: EndedMark }

interface FoundIndex extends SeenIndex {
  readonly snapshot: Snapshot<unknown>
}

export interface UserIndexOptions {
  readonly cache: Cache
  /** The key of the HMAC that the keys are made with. */
  readonly secret: string
  readonly maxPerUser: number
  /** Maximum lifetime of a session, in milliseconds. */
  readonly absoluteMs: number
}

const read: ReadOptions = { consistency: 'strong', confirmGeneration: 'on-miss', forUpdate: true }
/** An index exists for two lifetimes of its sessions after it was written, and is written again after half a lifetime. */
const lifetimes = 2
const lifetimesUntilDue = 0.5
/**
 * How long it is known that all sessions of a user were ended, if sessions may exist for ever: for as long as browsers keep a
 * cookie (RFC 6265bis section 5.5), in milliseconds.
 */
const maxMarkMs = 400 * 86_400_000

/**
 * By how much the clocks of two processes may differ, in milliseconds. A session that is not listed ends also if it seems to have
 * begun this long after the end of all others: better a login more than a stolen session that stays.
 */
const maxClockDifferenceMs = 1_800_000

/**
 * How long a mark exists beyond the lifetime of sessions: a session may seem to have begun later, and a process with a faster
 * clock may store the mark again, with the time that is left by its own clock.
 */
const markMarginMs = 2 * maxClockDifferenceMs

/**
 * How long it takes from the beginning of a session until it is stored, at most, in milliseconds. A session is listed before, so
 * that one which does not exist yet may be that of another login.
 */
const maxLoginMs = 60_000

/** A session, as far as the list of its user concerns it. */
export interface IndexedSession {
  readonly key: string
  /** In epoch milliseconds; `NaN` if it is not known. */
  readonly created: number
}

/** A session that is about to be stored. */
export interface PendingSession extends IndexedSession {
  readonly lifetimeMs: number
  /** Whether it will not be stored in place of another one with its key. */
  readonly isNew?: boolean | undefined
}

/** A session that stays when all others of its user end. */
export interface KeptSession {
  readonly key: string
  /** `undefined` if it does not exist, but may be about to. */
  readonly created: number | undefined
  /** The key that it had when it was listed first. */
  readonly firstKey: string
}

/**
 * The sessions of each user. A session that carries a user exists only as long as it is listed here: what is removed from
 * the list has ended at once, also if the index itself was evicted.
 */
export class UserIndex {
  readonly #options: UserIndexOptions

  constructor(options: UserIndexOptions) {
    this.#options = options
  }

  /**
   * The key of a user. Without the secret, it does not reveal the user.
   *
   * @throws TypeError for another value, such as an object, which all users would share as one text
   */
  keyOf(user: string | number): string {
    checkUser(user)
    const { createHmac } = process.getBuiltinModule('node:crypto')
    return `${listPrefix}${createHmac('sha256', this.#options.secret).update(String(user)).digest('base64url')}`
  }

  /** Reads the sessions of a user; with `isConfirmed`, after every clear that was acknowledged before. */
  async read(user: string | number, isConfirmed = false): Promise<SeenIndex> {
    return this.#read(this.keyOf(user), isConfirmed ? { ...read, confirmGeneration: true } : read)
  }

  /**
   * Lists a session. Resolves to the keys of those that it replaces, because the user has too many.
   *
   * @param unlisted the same session before, if it existed without being listed. Resolves to `undefined` if it was ended, with
   *   all of its user
   */
  async add(
    user: string | number,
    session: PendingSession,
    unlisted?: IndexedSession,
  ): Promise<string[] | undefined> {
    let removed: string[] | undefined
    await this.#change('login', user, async (found) => {
      removed = undefined
      if (unlisted !== undefined && this.isOver(found, unlisted)) return undefined
      if (session.isNew && (await this.#hasOther(found, session))) {
        removed = []
        return undefined
      }
      const entry: Entry = [session.created, toJson(session.lifetimeMs)]
      const all = { ...found.entries, [session.key]: entry }
      const kept = await this.#limit(all, session.key)
      removed = Object.keys(all).filter((key) => !(key in kept))
      return { entries: kept }
    })
    return removed
  }

  /** Whether an index has to be extended, so that it exists as long as a session that is used now. */
  isDue({ entries, writtenAt }: SeenIndex, key: string, lifetimeMs: number): boolean {
    const longest = longestOf(entries)
    const recorded = entries[key]?.[1] ?? Infinity
    if (recorded < lifetimeMs) return true
    // Negative if the clock of the process that has written it is fast.
    const age = Math.abs(this.#options.cache.clock.now() - writtenAt)
    return age > longest * lifetimesUntilDue
  }

  /** Makes the index exist as long as a session that is used now. */
  async extend(user: string | number, key: string, lifetimeMs: number): Promise<void> {
    await this.#change('extend', user, async (found) => {
      const { entries } = found
      const entry = entries[key]
      if (entry === undefined || !this.isDue(found, key, lifetimeMs)) return undefined
      const [created, , ...firstKey] = entry
      return { entries: { ...entries, [key]: [created, toJson(lifetimeMs), ...firstKey] } }
    })
  }

  /** Lists the session of `key` as `newKey` as well. Resolves to `false` if it is not listed. */
  async addCopy(user: string | number, key: string, newKey: string): Promise<boolean> {
    let isListed = false
    await this.#change('rotate', user, async (found) => {
      const { entries } = found
      const entry = entries[key]
      isListed = entry !== undefined
      if (entry === undefined) return undefined
      const [created, lifetimeMs, firstKey = key] = entry
      if (await this.#hasOther(found, { key: newKey, created })) return undefined
      return { entries: { ...entries, [newKey]: [created, lifetimeMs, firstKey] } }
    })
    return isListed
  }

  /** Whether a session that is listed when it exists is not listed any more. */
  async hasLost(user: string | number, { key, created }: IndexedSession): Promise<boolean> {
    const { entries } = await this.read(user, true)
    return entries[key]?.[0] !== created
  }

  /** Whether a session that is not listed was ended, with all of its user. */
  async hasEnded(user: string | number, session: IndexedSession): Promise<boolean> {
    return this.isOver(await this.read(user, true), session)
  }

  /**
   * The same for a list that was read. Without a mark, a session may have begun before one that has expired. As marks exist as long as sessions do, only those of
   * unlimited lifetime can be that old.
   */
  isOver(index: SeenIndex, session: IndexedSession): boolean {
    return (
      hasEnded(index, session) || session.created <= this.#options.cache.clock.now() - this.#markMs
    )
  }

  get #markMs(): number {
    return Math.min(this.#options.absoluteMs, maxMarkMs)
  }

  /**
   * Removes all sessions but one, and ends those that are not listed. Resolves to the keys of the listed ones.
   *
   * @param kept the session to keep, if there is one
   * @param movedUntil until when sessions may be moved, in epoch milliseconds
   */
  async removeAll(
    user: string | number,
    kept: KeptSession | undefined,
    movedUntil = 0,
  ): Promise<string[]> {
    const now = Math.floor(this.#options.cache.clock.now())
    let removed: string[] = []
    await this.#change('logout', user, async (found) => {
      const spared = sparedEntries(found.entries, kept)
      removed = Object.keys(found.entries).filter((key) => !(key in spared))
      // An earlier mark may be that of a faster clock or of another timeout: what it has ended must not become valid again.
      const at = Math.max(now, found.ended?.at ?? now)
      const until = Math.max(at + this.#markMs + markMarginMs, movedUntil, found.ended?.until ?? 0)
      return {
        entries: spared,
        ended: { at, until, kept: keptKey(found, kept) },
      }
    })
    return removed
  }

  /** Removes the sessions that `isKept` rejects, given their keys and those that they had first. Resolves to their keys. */
  async remove(
    user: string | number,
    isKept: (key: string, firstKey: string) => boolean,
  ): Promise<string[]> {
    let removed: string[] = []
    await this.#change('logout', user, async ({ entries }) => {
      const kept = Object.entries(entries).filter(([key, [, , firstKey = key]]) =>
        isKept(key, firstKey),
      )
      const next = Object.fromEntries(kept)
      removed = Object.keys(entries).filter((key) => !(key in next))
      return removed.length === 0 ? undefined : { entries: next }
    })
    return removed
  }

  /** Whether another session has the key of a new one. */
  async #hasOther({ entries }: SeenIndex, { key, created }: IndexedSession): Promise<boolean> {
    if (entries[key] === undefined || entries[key][0] === created) return false
    return (await this.#options.cache.snapshot(key)).value !== undefined
  }

  /** Leaves out those sessions beyond the limit that do not exist any more, and then the oldest. */
  async #limit(entries: Entries, added: string): Promise<Entries> {
    const { maxPerUser, cache } = this.#options
    const keys = Object.keys(entries)
    if (keys.length <= maxPerUser) return entries
    const values = await cache.getMany(keys, { consistency: 'strong' })
    const isBeingStored = (key: string) =>
      key === added || (entries[key] as Entry)[0] > cache.clock.now() - maxLoginMs
    const newest = keys
      .filter((key, index) => values[index] !== undefined || isBeingStored(key))
      .sort((a, b) => Number(b === added) - Number(a === added) || ageOf(entries, a, b))
    return Object.fromEntries(
      Object.entries(entries).filter(([key]) => newest.slice(0, maxPerUser).includes(key)),
    )
  }

  async #read(key: string, options: ReadOptions = read): Promise<FoundIndex> {
    const snapshot = await this.#options.cache.snapshot(key, options)
    return { snapshot, ...parse(snapshot.value) }
  }

  async #change(
    operation: string,
    user: string | number,
    change: (found: SeenIndex) => Promise<Change | undefined>,
  ): Promise<void> {
    const { cache } = this.#options
    const key = this.keyOf(user)
    await retryOnConflict({ operation, store: cache.driver, key }, cache.clock, async () => {
      const found = await this.#read(key)
      const next = await change(found)
      if (next === undefined) return undefined
      const { entries, ended = found.ended } = next
      return (await this.#write(found.snapshot, entries, ended)) ? undefined : conflict
    })
  }

  async #write(
    snapshot: Snapshot<unknown>,
    entries: Entries,
    ended: EndedMark | undefined,
  ): Promise<boolean> {
    const writtenAt = Math.floor(this.#options.cache.clock.now())
    const markMs = (ended?.until ?? 0) - writtenAt
    if (Object.keys(entries).length === 0 && markMs <= 0) return snapshot.delete()
    const ms = Math.max(lifetimes * longestOf(entries), markMs)
    const ttl = Number.isFinite(ms) ? ms : null
    const mark = markMs > 0 ? { ended } : {}
    return snapshot.replace({ writtenAt, sessions: entries, ...mark }, { ttl })
  }
}

function checkUser(user: unknown): void {
  if (typeof user === 'number' ? Number.isFinite(user) : isUserText(user)) return
  throw new TypeError(
    `Sessions: a user must be a non-empty string or a finite number, not ${describe(user)}. Let index return the id of the user, or ` +
      'undefined for a session without a user.',
  )
}

/** All lone surrogates are the same character in UTF-8, so that users would share a list. */
function isUserText(user: unknown): boolean {
  return typeof user === 'string' && user !== '' && user.isWellFormed()
}

function describe(user: unknown): string {
  if (typeof user === 'number') return `${user}`
  if (user === '') return 'an empty string'
  return typeof user === 'string'
    ? 'a string with a lone surrogate'
    : `a value of the type ${typeof user}`
}

/** The key that a session had first. */
export function firstKeyOf({ entries }: SeenIndex, key: string): string {
  return entries[key]?.[2] ?? key
}

/** @throws CacheError `ERR_CACHE_CONFIG` unless the secret is a text */
export function checkIndexSecret(secret: unknown): string {
  if (typeof secret === 'string' && secret.length >= 16) return secret
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    'Sessions: with index, indexSecret must be a text of at least 16 characters. Keep it stable: with another one, all ' +
      'sessions of users end.',
  )
}

/**
 * Whether a session that is not listed was ended, with all of its user. One that has been listed since was not: a process without
 * the option `index` has stored it again.
 */
function hasEnded({ ended, entries }: SeenIndex, { key, created }: IndexedSession): boolean {
  if (ended === undefined || key === ended.kept) return false
  if (created > ended.at + maxClockDifferenceMs) return false
  return entries[key] === undefined || entries[key][0] !== created
}

/** The entries of the session that is kept. It may be getting another key, under which it is listed as well. */
function sparedEntries(entries: Entries, kept: KeptSession | undefined): Entries {
  if (kept === undefined) return {}
  const spared = Object.entries(entries).filter(
    ([key, [, , firstKey = key]]) => key === kept.key || firstKey === kept.firstKey,
  )
  return Object.fromEntries(spared)
}

/** The key of the session that is kept, unless it had ended before. */
function keptKey(found: SeenIndex, kept: KeptSession | undefined): string | null {
  if (kept?.created === undefined) return null
  return hasEnded(found, { key: kept.key, created: kept.created }) ? null : kept.key
}

function ageOf(entries: Entries, a: string, b: string): number {
  return (entries[b] as Entry)[0] - (entries[a] as Entry)[0]
}

function longestOf(entries: Entries): number {
  return Math.max(...Object.values(entries).map(([, lifetimeMs]) => lifetimeMs ?? Infinity))
}

function toJson(lifetimeMs: number): number | null {
  return Number.isFinite(lifetimeMs) ? Math.ceil(lifetimeMs) : null
}

function parse(value: unknown): SeenIndex {
  if (!isJsonObject(value) || !isJsonObject(value.sessions)) {
    return { entries: {}, ended: undefined, writtenAt: 0 }
  }
  const { sessions, ended, writtenAt } = value
  return {
    entries: Object.values(sessions).every(isEntry) ? (sessions as Entries) : {},
    ended: isEndedMark(ended) ? ended : undefined,
    writtenAt: Number.isFinite(writtenAt) ? (writtenAt as number) : 0,
  }
}

function isEntry(value: unknown): value is Entry {
  if (!Array.isArray(value)) return false
  const isLifetime = value[1] === null || Number.isFinite(value[1])
  return Number.isFinite(value[0]) && isLifetime && isTextOrMissing(value[2])
}

function isEndedMark(value: unknown): value is EndedMark {
  if (!isJsonObject(value)) return false
  const { at, until, kept } = value
  return Number.isFinite(at) && Number.isFinite(until) && isTextOrMissing(kept ?? undefined)
}

function isTextOrMissing(value: unknown): boolean {
  return value === undefined || typeof value === 'string'
}
