import type { History, HistoryEntry } from './history.ts'
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

  /** @param keyOf the key that stands for a storage key of any generation */
  constructor(history: History<C>, keyOf: (storageKey: string) => string | undefined) {
    this.#history = history
    this.#keyOf = keyOf
    this.#clears = history.entries.filter(isClear)
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
    const { process, invoked, settled = Infinity } = entry
    const { requests } = this.#history
    // A clear by generations writes no keys.
    if (isClear(entry)) return 0
    // On a real backend, the requests are not known.
    if (requests.length === 0) return this.#clears.filter((clear) => clear.invoked < settled).length
    const sent = requests.filter(
      (request) =>
        request.process === process &&
        request.sent > invoked &&
        request.sent < settled &&
        !request.operation.startsWith('get'),
    )
    const storageKeys = sent
      .flatMap(({ keys }) => keys)
      .filter((storageKey) => this.#keyOf(storageKey) === key)
    return Math.max(0, new Set(storageKeys).size - 1)
  }
}

function isClear({ call }: HistoryEntry<Call>): boolean {
  return call.op === 'clear'
}

function overlap(a: HistoryEntry, b: HistoryEntry): boolean {
  return a.invoked < (b.settled ?? Infinity) && b.invoked < (a.settled ?? Infinity)
}
