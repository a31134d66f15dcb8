import type { ByteStore } from '../../store.ts'
import type { Fallback } from '../fallback/fallback.ts'
import type { JournalEntry } from './journal.ts'
import { restorePrimary } from './restore-primary.ts'
import { UnsettledKeys } from './unsettled-keys.ts'

/** The keys with which a drain begins, to find out whether the server replies. */
const firstKeys = 10
const keysPerCall = 1_000

interface Release {
  /** The keys that are settled now. */
  readonly released: readonly string[]
  /** Those for which the next release has to try it again. */
  readonly failed: readonly string[]
}

/**
 * Deletes keys from the primary store that were changed while it was unreachable. Never rejects: failed calls are
 * retried.
 */
export class Drain {
  readonly unsettled: UnsettledKeys
  readonly #primary: ByteStore
  readonly #fallback: Fallback
  /** How caches clear their prefixes, by prefix. */
  readonly #clears = new Map<string, () => Promise<void>>()
  /** Prefixes that were cleared while the primary store was unreachable. */
  readonly #clearedPrefixes = new Set<string>()

  constructor(primary: ByteStore, fallback: Fallback, maxKeys: number) {
    this.#primary = primary
    this.#fallback = fallback
    this.unsettled = new UnsettledKeys(maxKeys)
  }

  /** Whether nothing is left to delete. */
  get isDone(): boolean {
    return this.unsettled.isEmpty && this.#clearedPrefixes.size === 0
  }

  /** Whether the primary store may have outdated items that other processes must not read. */
  get hasOutdated(): boolean {
    return this.unsettled.journal.size > 0 || this.isIncomplete
  }

  /** Whether it is unknown which items of the primary store are outdated. */
  get isIncomplete(): boolean {
    return this.unsettled.journal.overflow > 0 || this.#clearedPrefixes.size > 0
  }

  addPrefix(prefix: string): void {
    this.#clearedPrefixes.add(prefix)
  }

  /** Registers how a cache clears its prefix. */
  onOverflow(prefix: string, clear: () => Promise<void>): void {
    this.#clears.set(prefix, clear)
  }

  /** @param onProgress called after each call, in a drain of many keys */
  async run(onProgress: () => Promise<void>): Promise<void> {
    const { journal } = this.unsettled
    // A copy: a prefix that cannot be cleared is added again, and must not be found by the same loop.
    for (const prefix of [...this.#clearedPrefixes]) await this.#clearPrefix(prefix)
    if (journal.overflow > 0) await this.#clearCaches(journal.overflow)
    const entries = journal.entries()
    let size = firstKeys
    for (let from = 0; from < entries.length; ) {
      const some = entries.slice(from, from + size)
      if (!(await this.#delete(some))) return
      from += some.length
      size = keysPerCall
      if (from < entries.length) await onProgress()
    }
  }

  /** Deletes keys for the second time, `ms` milliseconds after the first: late calls have been executed by then. */
  async release(ms: number): Promise<Release> {
    const keys = this.unsettled.deletedBefore(ms)
    if (keys.length === 0) return { released: [], failed: [] }
    const outcomes = await restorePrimary(this.#primary, this.#fallback, this.unsettled, keys)
    const released = keys.filter((_, index) => isFulfilled(outcomes[index]))
    const failed = keys.filter((_, index) => !isFulfilled(outcomes[index]))
    this.unsettled.release(released)
    // Nothing else keeps the item of this key up to date from now on.
    if (!this.#fallback.isShared) await this.#fallback.deleteMany(keys)
    return { released, failed }
  }

  /** Returns whether any of the keys could be deleted. */
  async #delete(entries: readonly JournalEntry[]): Promise<boolean> {
    const keys = entries.map(([key]) => key)
    const outcomes = await restorePrimary(this.#primary, this.#fallback, this.unsettled, keys)
    const deleted = entries.filter((_, index) => isFulfilled(outcomes[index]))
    this.unsettled.confirm(deleted)
    return deleted.length > 0
  }

  async #clearPrefix(prefix: string): Promise<void> {
    this.#clearedPrefixes.delete(prefix)
    try {
      await deletePrefix(this.#primary, prefix)
    } catch {
      this.#clearedPrefixes.add(prefix)
    }
  }

  /** Keys are missing from the journal, so that every entry of the caches could be outdated. */
  async #clearCaches(overflow: number): Promise<void> {
    try {
      for (const clear of this.#clears.values()) await clear()
      this.unsettled.journal.confirmOverflow(overflow)
    } catch {
      // The overflow remains, and the next drain follows.
    }
  }
}

/** Deletes all keys that begin with `prefix`, except the reserved ones. */
async function deletePrefix(store: ByteStore, prefix: string): Promise<void> {
  if (prefix === '') return store.clear()
  for await (const page of store.scan?.(prefix) ?? []) {
    await store.deleteMany(page.filter((key) => !key.startsWith(`${prefix}~`)))
  }
}

function isFulfilled(outcome: PromiseSettledResult<unknown> | undefined): boolean {
  return outcome?.status === 'fulfilled'
}
