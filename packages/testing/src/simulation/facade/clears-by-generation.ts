import type { SentRequest } from '../backend/network.ts'
import type { History, HistoryEntry } from '../programs/history.ts'
import type { RegisterOptions } from './register-history.ts'

const reads = /^(get|has)/

interface Call {
  readonly op: string
}

/**
 * What calls may do around a clear that begins a new generation. All of it follows from one rule: a call is sent with the
 * id of the generation that its process knows, together with a read of the id, and sent again if that finds a newer one.
 * To read the id first would take two round trips for each call.
 *
 * - A write that is sent again takes effect in each generation. Others may see it, miss it because of the clear, and see it
 *   again.
 * - A call that reads the id before the clear, and the key after it, finds what such a write has done in the old generation.
 *   So its result is not judged if both overlap with it.
 * - A write that is followed by a clear of its own process before it has a result is not sent again, or it would outlive
 *   the clear. Its result is that of the generation that its process knew, and is not judged.
 */
export class ClearsByGeneration<C extends Call> {
  readonly rules: Pick<RegisterOptions<C>, 'isUnjudged' | 'repetitions'> = {
    isUnjudged: (entry, key) => this.#isCleared(entry) || this.#mayFindRepeated(entry, key),
    repetitions: (entry, key) => this.#repetitions(entry, key),
  }
  readonly #history: History<C>
  readonly #keyOf: (storageKey: string) => string | undefined
  readonly #clears: readonly HistoryEntry<C>[]
  readonly #writes: ReadonlyMap<string, readonly SentRequest[]>
  readonly #written = new Map<HistoryEntry<C>, ReadonlyMap<string, ReadonlySet<string>>>()

  /** @param keyOf the key that stands for a storage key of any generation */
  constructor(history: History<C>, keyOf: (storageKey: string) => string | undefined) {
    this.#history = history
    this.#keyOf = keyOf
    this.#clears = history.entries.filter(isClear)
    this.#writes = writesByProcess(history.requests)
  }

  /** Whether the process made a clear before the call had a result. */
  #isCleared(entry: HistoryEntry<C>): boolean {
    const { process, invoked, settled = Infinity } = entry
    if (isClear(entry) || reads.test(entry.call.op)) return false
    return this.#clears.some(
      (clear) => clear.process === process && clear.invoked > invoked && clear.invoked < settled,
    )
  }

  #mayFindRepeated(entry: HistoryEntry<C>, key: string): boolean {
    if (isClear(entry) || !this.#clears.some((clear) => overlap(clear, entry))) return false
    return this.#history.entries.some(
      (other) => other !== entry && overlap(other, entry) && this.#repetitions(other, key) > 0,
    )
  }

  /** In how many generations a call wrote the key before the one in which it took effect last. */
  #repetitions(entry: HistoryEntry<C>, key: string): number {
    // A clear by generations writes no keys.
    if (isClear(entry) || this.#clears.length === 0) return 0
    // On a real backend, the requests are not known.
    if (this.#writes.size === 0) {
      return this.#clears.filter(({ invoked }) => invoked < (entry.settled ?? Infinity)).length
    }
    return Math.max(0, (this.#writtenBy(entry).get(key)?.size ?? 0) - 1)
  }

  /** The storage keys that a call wrote, by the key for which they stand. */
  #writtenBy(entry: HistoryEntry<C>): ReadonlyMap<string, ReadonlySet<string>> {
    const known = this.#written.get(entry)
    if (known !== undefined) return known
    const written = new Map<string, Set<string>>()
    const { invoked, settled = Infinity } = entry
    for (const { sent, keys } of this.#writes.get(entry.process) ?? []) {
      if (sent < invoked || sent > settled) continue
      for (const storageKey of keys) {
        const key = this.#keyOf(storageKey) ?? ''
        const storageKeys = written.get(key) ?? new Set()
        written.set(key, storageKeys.add(storageKey))
      }
    }
    this.#written.set(entry, written)
    return written
  }
}

function writesByProcess(requests: History['requests']) {
  const writes = new Map<string, SentRequest[]>()
  for (const request of requests) {
    if (reads.test(request.operation)) continue
    const list = writes.get(request.process)
    if (list === undefined) writes.set(request.process, [request])
    else list.push(request)
  }
  return writes
}

function isClear({ call }: HistoryEntry<Call>): boolean {
  return call.op === 'clear'
}

function overlap(a: HistoryEntry, b: HistoryEntry): boolean {
  return a.invoked < (b.settled ?? Infinity) && b.invoked < (a.settled ?? Infinity)
}
