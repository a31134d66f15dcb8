import { CacheError, type InvalidationBus, type InvalidationListener } from '@stowage/core'
import type { SimulatedProcess } from '../world/simulated-process.ts'
import type { World } from '../world/world.ts'

const maxDelayMs = 20

/**
 * The bus of one process. Messages are delayed, overtake each other, and are missed while the process, or only its
 * connection to the bus, is partitioned.
 */
export class SimulatedBus implements InvalidationBus {
  readonly #world: World
  readonly #process: SimulatedProcess
  /** The buses of all processes. */
  readonly #all: SimulatedBus[]
  readonly #listeners = new Set<InvalidationListener>()
  #isClosed = false
  /** Whether the other processes have missed a change. */
  #hasFailed = false

  constructor(world: World, process: SimulatedProcess, all: SimulatedBus[]) {
    this.#world = world
    this.#process = process
    this.#all = all
    all.push(this)
    process.onPartition = () => this.#onPartition()
  }

  get connected(): boolean {
    return !this.#isClosed && this.#process.isBusConnected
  }

  publish(keys: readonly string[]): void {
    this.#assertOpen('publish')
    if (!this.connected) {
      this.#hasFailed = true
      throw failure('ERR_CACHE_UNAVAILABLE', 'publish', 'the bus is disconnected')
    }
    this.#notifyOthers(keys)
  }

  async subscribe(listener: InvalidationListener): Promise<() => void> {
    this.#assertOpen('subscribe')
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    if (!this.#isClosed) this.#notify(undefined)
    this.#isClosed = true
    this.#listeners.clear()
  }

  /** The connection was lost, or is back: changes may have been missed. */
  #onPartition(): void {
    this.#world.schedule(0, () => this.#notify(undefined), this.#process)
    if (!this.connected || !this.#hasFailed) return
    this.#hasFailed = false
    this.#notifyOthers(undefined)
  }

  #notifyOthers(keys: readonly string[] | undefined): void {
    for (const other of this.#all) {
      if (other === this) continue
      const delay = this.#process.random.integer(1, maxDelayMs)
      const deliver = () => {
        if (other.connected) other.#notify(keys)
      }
      this.#world.schedule(delay, deliver, other.#process)
    }
  }

  #notify(keys: readonly string[] | undefined): void {
    for (const listener of this.#listeners) listener(keys)
  }

  #assertOpen(operation: string): void {
    if (this.#isClosed) throw failure('ERR_CACHE_CLOSED', operation, 'close() was called')
  }
}

function failure(
  code: 'ERR_CACHE_UNAVAILABLE' | 'ERR_CACHE_CLOSED',
  operation: string,
  reason: string,
): CacheError {
  const message = `simulated bus ${operation} failed: ${reason}.`
  return new CacheError(code, message, { store: 'simulated', operation })
}
