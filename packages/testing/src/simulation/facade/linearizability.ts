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
  /** Operations that must have taken effect before, although they overlap with it. */
  readonly after?: readonly Operation<State>[] | undefined
  /** The states to which it can lead; none if its result does not fit the state. */
  apply(state: State): readonly State[]
}

/** A history with more possible states between two replies, or more pending calls, is accepted. */
const maxConfigurations = 1_000
const maxPending = 30

interface Configuration<State> {
  readonly state: State
  /** The pending operations that have taken effect, as bits of their slots. */
  readonly done: number
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
  let configurations: readonly Configuration<State>[] = [{ state: initial, done: 0 }]
  const pending: (Operation<State> | undefined)[] = []
  for (const { operation, isStart } of boundaries(operations)) {
    const slot = pending.indexOf(isStart ? undefined : operation)
    if (isStart) {
      pending[slot === -1 ? pending.length : slot] = operation
      if (pending.length > maxPending) return undefined
      continue
    }
    const next = new Explorer(pending, slot, keyOf).explore(configurations)
    if (next === undefined) return undefined
    if (next.length === 0) {
      const states = new Map(configurations.map(({ state }) => [keyOf(state), state]))
      return { operation: operation.describe(), states: [...states.values()] }
    }
    configurations = next
    pending[slot] = undefined
  }
  return undefined
}

function boundaries<State>(operations: readonly Operation<State>[]) {
  const all = operations.flatMap((operation) => [
    { at: operation.from, operation, isStart: true },
    { at: operation.until, operation, isStart: false },
  ])
  // Starts come before ends at the same moment.
  return all.sort((a, b) => (a.at === b.at ? Number(b.isStart) - Number(a.isStart) : a.at - b.at))
}

/** Finds the configurations in which one operation has taken effect. */
class Explorer<State> {
  readonly #pending: readonly (Operation<State> | undefined)[]
  readonly #ending: number
  readonly #keyOf: (state: State) => string
  readonly #visited = new Set<string>()
  readonly #found = new Map<string, Configuration<State>>()

  constructor(
    pending: readonly (Operation<State> | undefined)[],
    endingSlot: number,
    keyOf: (state: State) => string,
  ) {
    this.#pending = pending
    this.#ending = 1 << endingSlot
    this.#keyOf = keyOf
  }

  /** Returns `undefined` if there are too many to follow. */
  explore(
    configurations: readonly Configuration<State>[],
  ): readonly Configuration<State>[] | undefined {
    const isCertain = this.#pending[31 - Math.clz32(this.#ending)]?.isCertain === true
    for (const configuration of configurations) {
      if (!isCertain) this.#keep(configuration)
      this.#visit(configuration)
    }
    return this.#visited.size > maxConfigurations ? undefined : [...this.#found.values()]
  }

  #visit({ state, done: before }: Configuration<State>): void {
    const done = this.#withObservations(state, before)
    const key = this.#textOf(state, done)
    if (this.#visited.has(key) || this.#visited.size > maxConfigurations) return
    this.#visited.add(key)
    if ((done & this.#ending) !== 0) {
      this.#keep({ state, done })
      return
    }
    for (let slot = 0; slot < this.#pending.length; slot++) {
      const operation = this.#pending[slot]
      const bit = 1 << slot
      if (operation === undefined || (done & bit) !== 0) continue
      if (this.#isBlocked(operation, done)) continue
      for (const next of operation.apply(state)) {
        // An uncertain operation that changes nothing need not have taken effect.
        if (operation.isCertain || next !== state) this.#visit({ state: next, done: done | bit })
      }
    }
  }

  /** Lets the observations that fit the state take effect: that excludes nothing later. */
  #withObservations(state: State, done: number): number {
    let extended = done
    for (let slot = 0; slot < this.#pending.length; slot++) {
      const operation = this.#pending[slot]
      if (operation?.isObservation !== true || (done & (1 << slot)) !== 0) continue
      if (this.#isBlocked(operation, extended)) continue
      const states = operation.apply(state)
      if (states.length === 1 && states[0] === state) extended |= 1 << slot
    }
    return extended
  }

  #isBlocked({ after }: Operation<State>, done: number): boolean {
    return (
      after?.some((each) => {
        const slot = this.#pending.indexOf(each)
        return slot !== -1 && (done & (1 << slot)) === 0
      }) === true
    )
  }

  /** Keeps a configuration for what follows, where the operation is not pending any more. */
  #keep({ state, done }: Configuration<State>): void {
    const kept = { state, done: done & ~this.#ending }
    this.#found.set(this.#textOf(state, kept.done), kept)
  }

  #textOf(state: State, done: number): string {
    return `${done} ${this.#keyOf(state)}`
  }
}
