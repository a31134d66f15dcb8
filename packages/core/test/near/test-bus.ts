import type { InvalidationBus, InvalidationListener } from '@stowage/core'

/** A bus between the processes of a test, whose messages are delivered on demand. */
export class TestBus implements InvalidationBus {
  connected = true
  readonly published: string[] = []
  subscriptions = 0
  readonly #listeners = new Set<InvalidationListener>()

  publish(keys: readonly string[]): void {
    if (!this.connected) throw new Error('disconnected')
    this.published.push(...keys)
  }

  async subscribe(listener: InvalidationListener): Promise<() => void> {
    this.subscriptions++
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Delivers a message of another process. */
  deliver(keys: readonly string[] | undefined): void {
    for (const listener of this.#listeners) listener(keys)
  }

  disconnect(): void {
    this.connected = false
    this.deliver(undefined)
  }

  reconnect(): void {
    this.connected = true
    this.deliver(undefined)
  }

  async close(): Promise<void> {}
}
