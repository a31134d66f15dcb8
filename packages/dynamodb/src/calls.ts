import { type Awaitable, Lifecycle } from '@stowage/core'

/** The calls under way of a store that several requests make one of: closing waits for the last of them. */
export class Calls {
  readonly #lifecycle = new Lifecycle('dynamodb')
  #underWay = 0
  #whenIdle: (() => void) | undefined

  assertOpen(operation: string): void {
    this.#lifecycle.assertOpen(operation)
  }

  async run<T>(operation: string, work: () => Awaitable<T>): Promise<T> {
    this.#lifecycle.assertOpen(operation)
    this.#underWay++
    try {
      return await work()
    } finally {
      if (--this.#underWay === 0) this.#whenIdle?.()
    }
  }

  /** Waits for what is under way, then releases. Idempotent. */
  close(release: () => Awaitable<void>): Promise<void> {
    return this.#lifecycle.close(async () => {
      if (this.#underWay > 0) await this.#idle()
      await release()
    })
  }

  #idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle = resolve
    })
  }
}
