import { CacheError } from '../errors.ts'
import type { Change, ChangedNames } from './change.ts'
import type { SharedMark, Successor } from './shared-mark.ts'

export interface RunningChangeOptions {
  /** Name of the store, for errors. */
  readonly store: string
  /** How long a mark is stored without a renewal, in milliseconds. */
  readonly ms: number
  /** Whether the work runs also without marks. */
  readonly proceeds: boolean
  /** Returns the marks of the storage keys that are changed. */
  readonly marksOf: (what: ChangedNames) => readonly SharedMark[]
  /** Publishes a failure with which the call goes on. */
  readonly report: (key: string, error: unknown) => void
}

/** One call of `changing`. */
export class RunningChange implements Change {
  readonly #options: RunningChangeOptions
  /** Settle when the marks have been written. Repeated names are marked once. */
  readonly #marks = new Map<SharedMark, Promise<void>>()
  #isOver = false

  constructor(options: RunningChangeOptions) {
    this.#options = options
  }

  /** How long a mark is stored without a renewal, in milliseconds. */
  get ms(): number {
    return this.#options.ms
  }

  async mark(what: ChangedNames): Promise<void> {
    if (this.#isOver) {
      throw new Error('mark: the work of this change has ended. Await mark() within the work.')
    }
    const marking = this.#options.marksOf(what).map((mark) => this.#begin(mark))
    const outcomes = await Promise.allSettled(marking)
    const failed = outcomes.find(({ status }) => status === 'rejected')
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
  }

  assertHeld(): void {
    const { ms, store, proceeds } = this.#options
    if (proceeds) return
    for (const mark of this.#marks.keys()) {
      if (mark.isSafeFor(ms / 3)) continue
      throw new CacheError(
        'ERR_CACHE_TIMEOUT',
        `${store} changing failed: a mark could not be renewed in time, because the process was suspended or the backend ` +
          'unreachable. Roll the transaction back, and retry it.',
        { store, operation: 'changing', key: mark.key },
      )
    }
  }

  /**
   * Removes the marks. Failures are published: the marks then end by themselves.
   *
   * @param next what replaces the mark of the only key, if no other change has overlapped
   */
  end(next?: Successor): Promise<void> {
    return this.#endEach((mark) => mark.end(next))
  }

  /** Ends a change whose work does not begin. */
  cancel(): Promise<void> {
    return this.#endEach((mark) => mark.cancel())
  }

  #begin(mark: SharedMark): Promise<void> {
    const existing = this.#marks.get(mark)
    if (existing !== undefined) return existing
    const { ms, proceeds, report } = this.#options
    const begun = mark.begin(ms).catch((error) => {
      if (!proceeds) throw error
      report(mark.key, error)
    })
    this.#marks.set(mark, begun)
    return begun
  }

  async #endEach(end: (mark: SharedMark) => Promise<void>): Promise<void> {
    this.#isOver = true
    const ends = Array.from(this.#marks, async ([mark, begun]) => {
      await begun.catch(() => {})
      await end(mark).catch((error) => this.#options.report(mark.key, error))
    })
    await Promise.all(ends)
  }
}
