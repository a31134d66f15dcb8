/** What every label of further series is, once there are as many as the limit allows. */
const otherLabel = 'other'

/** The values of a metric for each combination of its labels, with an upper limit. */
export class Series<V> {
  readonly labels: readonly string[]
  readonly #create: () => V
  readonly #limit: { readonly max: number }
  readonly #byLabels = new Map<string, { readonly labels: readonly string[]; readonly value: V }>()

  constructor(labels: readonly string[], create: () => V, limit: { readonly max: number }) {
    this.labels = labels
    this.#create = create
    this.#limit = limit
  }

  get size(): number {
    return this.#byLabels.size
  }

  /** Returns the value for these labels, in their order. Creates it if necessary. */
  of(...labels: readonly string[]): V {
    const existing = this.#byLabels.get(labels.join('\0'))
    if (existing !== undefined) return existing.value
    return this.#add(this.#byLabels.size < this.#limit.max ? labels : labels.map(() => otherLabel))
  }

  /** Removes the value for these labels, which do not exist any more. */
  delete(...labels: readonly string[]): void {
    this.#byLabels.delete(labels.join('\0'))
  }

  *[Symbol.iterator](): Generator<readonly [labels: Readonly<Record<string, string>>, value: V]> {
    for (const { labels, value } of this.#byLabels.values()) {
      const named = labels.map((label, index) => [this.labels[index] as string, label] as const)
      yield [Object.fromEntries(named), value]
    }
  }

  #add(labels: readonly string[]): V {
    const key = labels.join('\0')
    const entry = this.#byLabels.get(key) ?? { labels, value: this.#create() }
    this.#byLabels.set(key, entry)
    return entry.value
  }
}
