import type { Connection } from '../connection/connection.ts'

const most = 10_000

/**
 * Keys a node has to forget before it is asked again, as they were changed while it could not be told. Where they are
 * too many it has to forget everything.
 */
export class Debts {
  readonly #keys = new Set<string>()
  #all = false
  #settling: Promise<void> | undefined

  add(key: string): void {
    if (this.#keys.size < most) this.#keys.add(key)
    else this.#all = true
  }

  /** Joins what is under way: many that are added one by one are told in few requests. */
  settle(connection: Connection): Promise<void> {
    this.#settling ??= this.#settle(connection).finally(() => {
      this.#settling = undefined
    })
    return this.#settling
  }

  async #settle(connection: Connection): Promise<void> {
    while (this.#all || this.#keys.size > 0) {
      const keys = [...this.#keys]
      const all = this.#all
      // What is added meanwhile stays owed, even if it is one of these.
      this.#keys.clear()
      this.#all = false
      try {
        if (all) await connection.flushAll('connect')
        else await connection.deleteMany('connect', keys, () => {})
      } catch (error) {
        this.#all ||= all
        for (const key of keys) this.add(key)
        throw error
      }
    }
  }
}
