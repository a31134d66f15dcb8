import { setTimeout as sleep } from 'node:timers/promises'

export interface Order {
  readonly id: number
  readonly total: number
}

export interface Customer {
  readonly id: string
  readonly name: string
  readonly orders: readonly Order[]
}

const queryMs = 50
const orderCount = 100

/** A simulated database. Counts the queries, which the cache is meant to save. */
export class CustomerRepository {
  queries = 0
  readonly #rows = new Map(
    ['Ada', 'Grace', 'Katherine'].map((name, index) => {
      const id = `${index + 1}`
      return [id, { id, name, orders: ordersOf(index + 1) } as Customer]
    }),
  )

  async find(id: string): Promise<Customer | undefined> {
    this.queries++
    await sleep(queryMs)
    return this.#rows.get(id)
  }

  async list(): Promise<readonly Customer[]> {
    this.queries++
    await sleep(queryMs)
    return [...this.#rows.values()]
  }

  /** Returns whether the customer exists. */
  async rename(id: string, name: string): Promise<boolean> {
    const customer = this.#rows.get(id)
    if (customer !== undefined) this.#rows.set(id, { ...customer, name })
    return customer !== undefined
  }
}

function ordersOf(customer: number): Order[] {
  return Array.from({ length: orderCount }, (_, index) => ({
    id: customer * 1_000 + index,
    total: (index + 1) * 995,
  }))
}
