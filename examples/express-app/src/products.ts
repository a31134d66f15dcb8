import { setTimeout as sleep } from 'node:timers/promises'

export interface Product {
  readonly id: string
  readonly name: string
  readonly detail: string
  readonly priceCents: number
}

export type ProductChange = Pick<Product, 'name' | 'priceCents'>

/** The result of one database query. */
export interface Catalogue {
  readonly products: readonly Product[]
  /** Epoch milliseconds. */
  readonly loadedAt: number
  /** How long the query took, in milliseconds. */
  readonly queryMs: number
}

const stock: readonly Product[] = [
  { id: 'biscuit', name: 'Ship’s biscuit', detail: 'Tin of 24, 500 g', priceCents: 480 },
  { id: 'butter', name: 'Salted butter', detail: 'Stoneware crock, 250 g', priceCents: 560 },
  { id: 'herring', name: 'Smoked herring', detail: 'A pair, 300 g', priceCents: 720 },
  { id: 'cordial', name: 'Lime cordial', detail: 'Bottle, 0.5 l', priceCents: 650 },
  { id: 'coffee', name: 'Harbour coffee', detail: 'Dark roast, 500 g', priceCents: 1190 },
  { id: 'salt', name: 'Sea salt', detail: 'Jar of flakes, 200 g', priceCents: 340 },
  { id: 'oil', name: 'Lamp oil', detail: 'Clean burning, 1 l', priceCents: 875 },
  { id: 'rope', name: 'Manila rope', detail: 'Coil of 20 m, 12 mm', priceCents: 1800 },
]

/** A simulated database: `find` is fast, `list` and `read` are slow. */
export class Products {
  readonly #rows: Map<string, Product>
  readonly #delayMs: number

  constructor(delayMs: number) {
    this.#delayMs = delayMs
    this.#rows = new Map(stock.map((product) => [product.id, product]))
  }

  async list(): Promise<Catalogue> {
    const start = performance.now()
    await sleep(this.#delayMs)
    const queryMs = performance.now() - start
    return { products: [...this.#rows.values()], loadedAt: Date.now(), queryMs }
  }

  find(id: string): Product | undefined {
    return this.#rows.get(id)
  }

  /** A slow query for one product. */
  async read(id: string): Promise<Product | undefined> {
    await sleep(this.#delayMs)
    return this.find(id)
  }

  update(product: Product, change: ProductChange): void {
    this.#rows.set(product.id, { ...product, ...change })
  }
}
