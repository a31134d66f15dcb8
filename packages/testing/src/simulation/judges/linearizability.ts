/** A call for one object that takes effect at one moment of an interval. */
export interface Operation<State> {
  /** The call and its result, for a report. */
  readonly describe: () => string
  /** The first moment at which it can take effect, by the order of events. */
  readonly from: number
  /** The last such moment; `Infinity` if it is not known. */
  readonly until: number
  /** Whether it took effect. Otherwise it may or may not have. */
  readonly isCertain: boolean
  /** Whether its result implies that it changed nothing. */
  readonly isObservation: boolean
  /** The states to which it can lead; none if its result does not fit the state. */
  apply(state: State): readonly State[]
}

/** A history with more possible states between two replies is accepted. */
const maxConfigurations = 20_000

interface Configuration<State> {
  readonly state: State
  /** Pending operations that have taken effect, in ascending order. */
  readonly done: readonly number[]
}

/** The first operation that no order explains. */
export interface Violation<State> {
  readonly operation: string
  /** The states that were possible before it. */
  readonly states: readonly State[]
}

/**
 * Decides whether the operations can have taken effect one after another, each at one moment between its call and its
 * reply. Follows all possible states from reply to reply, and lets pending operations take effect only where a reply
 * requires it (Lowe, "Testing for linearizability", 2017).
 *
 * @param keyOf a text that represents a state
 */
export function linearize<State>(
  operations: readonly Operation<State>[],
  initial: State,
  keyOf: (state: State) => string,
): Violation<State> | undefined {
  let configurations: readonly Configuration<State>[] = [{ state: initial, done: [] }]
  const pending = new Set<number>()
  for (const { index, isStart } of boundaries(operations)) {
    if (isStart) {
      pending.add(index)
      continue
    }
    const operation = operations[index] as Operation<State>
    const next = new Explorer(operations, pending, index, keyOf).explore(configurations)
    if (next === 'too many') return undefined
    if (next.length === 0) {
      const states = new Map(configurations.map(({ state }) => [keyOf(state), state]))
      return { operation: operation.describe(), states: [...states.values()] }
    }
    configurations = next
    pending.delete(index)
  }
  return undefined
}

function boundaries<State>(operations: readonly Operation<State>[]) {
  const all = operations.flatMap(({ from, until }, index) => [
    { at: from, index, isStart: true },
    { at: until, index, isStart: false },
  ])
  // An operation whose reply never came ends last. Starts come before ends at the same moment.
  return all.sort((a, b) => (a.at === b.at ? Number(b.isStart) - Number(a.isStart) : a.at - b.at))
}

/** Finds the configurations in which one operation has taken effect. */
class Explorer<State> {
  readonly #operations: readonly Operation<State>[]
  readonly #pending: ReadonlySet<number>
  readonly #ending: number
  readonly #keyOf: (state: State) => string
  readonly #visited = new Set<string>()
  readonly #found = new Map<string, Configuration<State>>()

  constructor(
    operations: readonly Operation<State>[],
    pending: ReadonlySet<number>,
    ending: number,
    keyOf: (state: State) => string,
  ) {
    this.#operations = operations
    this.#pending = pending
    this.#ending = ending
    this.#keyOf = keyOf
  }

  explore(
    configurations: readonly Configuration<State>[],
  ): readonly Configuration<State>[] | 'too many' {
    const isCertain = this.#operations[this.#ending]?.isCertain === true
    for (const configuration of configurations) {
      if (!isCertain) this.#keep(configuration)
      this.#visit(configuration)
    }
    return this.#visited.size > maxConfigurations ? 'too many' : [...this.#found.values()]
  }

  #visit(configuration: Configuration<State>): void {
    const { state, done } = this.#withObservations(configuration)
    const key = this.#textOf({ state, done })
    if (this.#visited.has(key) || this.#visited.size > maxConfigurations) return
    this.#visited.add(key)
    if (done.includes(this.#ending)) {
      this.#keep({ state, done })
      return
    }
    for (const index of this.#pending) {
      if (done.includes(index)) continue
      const operation = this.#operations[index] as Operation<State>
      const nextDone = [...done, index].sort((a, b) => a - b)
      for (const next of operation.apply(state)) this.#visit({ state: next, done: nextDone })
    }
  }

  /** Lets the observations that fit the state take effect: that excludes nothing later. */
  #withObservations({ state, done }: Configuration<State>): Configuration<State> {
    let extended = done
    for (const index of this.#pending) {
      const operation = this.#operations[index] as Operation<State>
      if (!operation.isObservation || done.includes(index)) continue
      const states = operation.apply(state)
      if (states.length === 1 && states[0] === state) extended = [...extended, index]
    }
    return extended === done
      ? { state, done }
      : { state, done: extended.slice().sort((a, b) => a - b) }
  }

  /** Keeps a configuration for what follows, where the operation is not pending any more. */
  #keep({ state, done }: Configuration<State>): void {
    const kept = { state, done: done.filter((index) => index !== this.#ending) }
    this.#found.set(this.#textOf(kept), kept)
  }

  #textOf({ state, done }: Configuration<State>): string {
    return `${this.#keyOf(state)}|${done.join()}`
  }
}
