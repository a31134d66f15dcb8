import type { Network } from '../backend/network.ts'
import type { HistoryEntry } from '../judges/history.ts'
import type { Cause } from '../world/event-queue.ts'
import type { SimulatedProcess } from '../world/simulated-process.ts'
import type { World } from '../world/world.ts'

/** Writes down when each call began, when it ended and how. */
export class CallRecorder<Call> {
  readonly #world: World
  readonly #network: Network
  readonly #entries: HistoryEntry<Call>[] = []
  readonly #processes: SimulatedProcess[] = []
  readonly #causes: Cause[] = []

  constructor(world: World, network: Network) {
    this.#world = world
    this.#network = network
  }

  run(process: SimulatedProcess, cause: Cause, call: Call, work: () => Promise<unknown>): void {
    const world = this.#world
    const entry: HistoryEntry<Call> = {
      process: process.name,
      call,
      invoked: world.nextOrder(),
      invokedAt: world.now,
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
    if (world.trace !== undefined) world.log(process.name, textOf(call))
    const settle = (outcome: HistoryEntry['outcome']) => {
      entry.settled = world.nextOrder()
      entry.settledAt = world.now
      entry.outcome = outcome
      if (world.trace !== undefined)
        world.log(process.name, `${textOf(call)} ⇒ ${textOfOutcome(outcome)}`)
    }
    work().then(
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

  /** A call of a process that was not killed must have settled. */
  problem(): string | undefined {
    for (const [index, { settled, call, process, outcome }] of this.#entries.entries()) {
      if (settled === undefined && this.#processes[index]?.isKilled === false) {
        return `${process} ${textOf(call)} never settled.`
      }
      if (outcome?.status === 'rejected' && !isCacheError(outcome.error)) {
        return `${process} ${textOf(call)} failed with ${String(outcome.error)}.`
      }
    }
    return undefined
  }

  /** Finds out when a call without a result can have taken effect: when requests sent meanwhile were executed. */
  #limitEffect(entry: HistoryEntry): void {
    const { settled = Infinity, invoked, process } = entry
    const executed = this.#network.requests.filter(
      (request) =>
        request.process === process &&
        request.executed !== undefined &&
        request.sent > invoked &&
        request.sent < settled,
    )
    entry.hasNoEffect = executed.length === 0
    const orders = executed.map((request) => request.executed as number)
    entry.effectiveFrom = Math.min(...orders)
    entry.effectiveUntil = Math.max(...orders)
    entry.effectiveUntilAt = Math.max(...executed.map(({ executedAt }) => executedAt))
  }
}

function isCacheError(error: unknown): boolean {
  return typeof (error as { code?: unknown } | undefined)?.code === 'string'
}

function textOf(call: unknown): string {
  return typeof call === 'string' ? call : JSON.stringify(call).replaceAll('"', '')
}

function textOfOutcome(outcome: HistoryEntry['outcome']): string {
  if (outcome === undefined) return ''
  if (outcome.status === 'fulfilled') return String(JSON.stringify(outcome.value))
  return `✗ ${(outcome.error as { code?: string }).code ?? String(outcome.error)}`
}
