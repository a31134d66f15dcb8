import type { SentRequest } from '../backend/network.ts'
import type { HistoryEntry } from '../programs/history.ts'
import type { Cause } from '../world/event-queue.ts'
import { type Trace, textOfCall, textOfValue } from '../world/trace.ts'

/** Says what time it is, in milliseconds and in the order of everything that happens. */
export interface Timeline {
  readonly now: number
  readonly trace?: Trace | undefined
  nextOrder(): number
}

interface RecordedProcess {
  readonly name: string
  readonly isKilled: boolean
}

/** Writes down when each call began, when it ended and how. */
export class CallRecorder<Call> {
  readonly #timeline: Timeline
  readonly #requests: readonly SentRequest[]
  readonly #entries: HistoryEntry<Call>[] = []
  readonly #processes: RecordedProcess[] = []
  readonly #causes: Cause[] = []

  /** @param requests the requests to the backend, which are added later */
  constructor(timeline: Timeline, requests: readonly SentRequest[]) {
    this.#timeline = timeline
    this.#requests = requests
  }

  run(
    process: RecordedProcess,
    cause: Cause,
    call: Call,
    work: () => Promise<unknown>,
  ): Promise<void> {
    const timeline = this.#timeline
    const entry: HistoryEntry<Call> = {
      process: process.name,
      call,
      invoked: timeline.nextOrder(),
      invokedAt: timeline.now,
      settled: undefined,
      settledAt: Infinity,
      outcome: undefined,
      isDisturbed: false,
      hasNoEffect: false,
      effectiveFrom: 0,
      effectiveUntil: Infinity,
      effectiveUntilAt: Infinity,
    }
    this.#entries.push(entry)
    this.#processes.push(process)
    this.#causes.push(cause)
    timeline.trace?.add(timeline.now, process.name, textOfCall(call), cause.call)
    const settle = (outcome: HistoryEntry['outcome']) => {
      entry.settled = timeline.nextOrder()
      entry.settledAt = timeline.now
      entry.outcome = outcome
      const { trace } = timeline
      trace?.add(timeline.now, process.name, `⇒ ${textOfOutcome(outcome)}`, cause.call)
    }
    return work().then(
      (value) => settle({ status: 'fulfilled', value }),
      (error) => settle({ status: 'rejected', error }),
    )
  }

  /** The entries, once nothing can happen any more. */
  finish(): readonly HistoryEntry<Call>[] {
    for (const [index, entry] of this.#entries.entries()) {
      entry.isDisturbed = this.#causes[index]?.isDisturbed === true
      if (entry.outcome?.status === 'fulfilled') continue
      this.#limitEffect(entry)
    }
    return this.#entries
  }

  /**
   * A call of a process that was not killed must have settled, and not with an error that nobody expects.
   *
   * @param isExpected whether the scenario expects an error that is not one of the cache
   */
  problem(isExpected: (error: unknown) => boolean): string | undefined {
    for (const [index, { settled, call, process, outcome }] of this.#entries.entries()) {
      if (settled === undefined && this.#processes[index]?.isKilled === false) {
        return `${process} ${textOfCall(call)} never settled.`
      }
      if (outcome?.status !== 'rejected' || isCacheError(outcome.error)) continue
      if (!isExpected(outcome.error)) {
        return `${process} ${textOfCall(call)} failed with ${String(outcome.error)}. If the application throws that, name it in isExpectedError of the scenario.`
      }
    }
    return undefined
  }

  /** Finds out when a call without a result can have taken effect: when requests sent meanwhile were executed. */
  #limitEffect(entry: HistoryEntry): void {
    const { settled = Infinity, invoked, process } = entry
    const executed = this.#requests.filter(
      (request) =>
        request.process === process &&
        request.executed !== undefined &&
        request.sent > invoked &&
        request.sent < settled,
    )
    entry.hasNoEffect = executed.length === 0
    entry.effectiveFrom = Infinity
    entry.effectiveUntil = -Infinity
    entry.effectiveUntilAt = -Infinity
    // Not as arguments of `Math.min`: a run that does not end has more requests than the stack has room for.
    for (const { executed: order = 0, executedAt } of executed) {
      entry.effectiveFrom = Math.min(entry.effectiveFrom, order)
      entry.effectiveUntil = Math.max(entry.effectiveUntil, order)
      entry.effectiveUntilAt = Math.max(entry.effectiveUntilAt, executedAt)
    }
  }
}

function isCacheError(error: unknown): boolean {
  return typeof (error as { code?: unknown } | undefined)?.code === 'string'
}

function textOfOutcome(outcome: HistoryEntry['outcome']): string {
  if (outcome === undefined) return ''
  if (outcome.status === 'fulfilled') return textOfValue(outcome.value)
  return `✗ ${(outcome.error as { code?: string }).code ?? String(outcome.error)}`
}
