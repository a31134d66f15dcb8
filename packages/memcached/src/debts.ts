import type { Connection } from './connection.ts'

const most = 10_000

/**
 * Keys a node has to forget before it is asked again, as they were changed while it could not be told. Where they are
 * too many it has to forget everything.
 */
export class Debts {
  readonly #keys = new Set<string>()
  #all = false

  add(key: string): void {
    if (this.#keys.size < most) this.#keys.add(key)
    else this.#all = true
  }

  async settle(connection: Connection): Promise<void> {
    // What is added meanwhile stays owed.
    while (this.#all || this.#keys.size > 0) {
      const keys = [...this.#keys]
      if (this.#all) await connection.flushAll('connect')
      else await connection.deleteMany('connect', keys, () => {})
      this.#all = false
      for (const key of keys) this.#keys.delete(key)
    }
  }
}
