import { type History, type HistoryEntry, isAcknowledged, resultOf } from '../programs/history.ts'
import { linearize, type Operation } from './linearizability.ts'
import {
  anyResult,
  applyCall,
  emptyRegister,
  isObservation,
  isRead,
  type KeyCall,
  type Register,
  textOf,
} from './register.ts'

/** A call, as it affects one key. */
export interface KeyEffect {
  readonly key: string
  readonly call: KeyCall
  /** Its result for this key, or `anyResult`. */
  readonly result: unknown
}

export interface RegisterOptions<Call> {
  /** What a call does to each key. `value` is what it resolved to, and `undefined` if that is not known. */
  readonly effects: (call: Call, value: unknown) => readonly KeyEffect[]
  /** The key that stands for a storage key. */
  readonly keyOf: (storageKey: string) => string | undefined
  readonly ttlStep: number
  /** Whether a call that succeeded is judged as one with an unknown result. @default never */
  readonly isUnjudged?: ((entry: HistoryEntry<Call>, key: string) => boolean) | undefined
  /** How many more times a call that writes a key may have taken effect before it did so with its result. @default 0 */
  readonly repetitions?: ((entry: HistoryEntry<Call>, key: string) => number) | undefined
  /** Whether the calls of a process for one key take effect in the order of the calls if made in the same tick. @default false */
  readonly keepsOrderOfTicks?: boolean | undefined
}

/**
 * Judges whether the calls for each key can have taken effect one after another. A call that failed may or may not have
 * taken effect.
 */
export function judgeRegisters<Call>(
  history: History<Call>,
  options: RegisterOptions<Call>,
): string | undefined {
  const operations = new Map<string, Operation<Register>[]>()
  const add = (key: string, operation: Operation<Register>) => {
    const list = operations.get(key)
    if (list === undefined) operations.set(key, [operation])
    else list.push(operation)
  }
  const order = new OrderOfTicks()
  for (const entry of history.entries) {
    for (const [key, operation, call] of operationsOf(entry, options)) {
      add(key, options.keepsOrderOfTicks ? order.apply(entry, key, operation, call) : operation)
    }
  }
  for (const { key, order, at } of history.losses) {
    const lost = options.keyOf(key)
    if (lost !== undefined) add(lost, lossAt(order, at))
  }
  for (const [key, list] of operations) {
    const violation = linearize(list, emptyRegister, textOf)
    if (violation === undefined) continue
    const states = violation.states.map(textOf).join(', or ')
    return `No order of the calls explains: ${violation.operation}. Before it, ${key} was ${states}.`
  }
  return undefined
}

type NamedOperation = readonly [key: string, operation: Operation<Register>, call: KeyCall]

function operationsOf<Call>(
  entry: HistoryEntry<Call>,
  { effects, ttlStep, isUnjudged, repetitions }: RegisterOptions<Call>,
): NamedOperation[] {
  if (entry.hasNoEffect) return []
  const hasSucceeded = isAcknowledged(entry)
  return effects(entry.call, resultOf(entry)).flatMap((effect): NamedOperation[] => {
    const { key, call } = effect
    const isCertain = hasSucceeded && isUnjudged?.(entry, key) !== true
    if (isRead(call) && !isCertain) return []
    const count = hasSucceeded && !isRead(call) ? (repetitions?.(entry, key) ?? 0) : 0
    const repeated = Array.from({ length: count }, (): NamedOperation => {
      return [key, operationOf(entry, effect, false, ttlStep), call]
    })
    return [[key, operationOf(entry, effect, isCertain, ttlStep), call], ...repeated]
  })
}

function operationOf(
  entry: HistoryEntry,
  { key, call, result }: KeyEffect,
  isCertain: boolean,
  ttlStep: number,
): Operation<Register> {
  const hasSucceeded = isAcknowledged(entry)
  const expected = isCertain ? result : anyResult
  const at = {
    from: entry.invokedAt,
    until: hasSucceeded ? entry.settledAt : entry.effectiveUntilAt,
  }
  return {
    describe: () =>
      `${entry.process} ${key} ${JSON.stringify(call)} → ${hasSucceeded ? String(resultOf(entry)) : 'failed'}`,
    from: hasSucceeded ? entry.invoked : entry.effectiveFrom,
    until: hasSucceeded ? (entry.settled ?? Infinity) : entry.effectiveUntil,
    isCertain,
    isObservation: isCertain && isObservation(call, result),
    apply: (state: Register) => applyCall(state, call, expected, at, ttlStep),
  }
}

/** Calls that consist of one request, so that their order is that of the requests. */
const direct: ReadonlySet<KeyCall['op']> = new Set([
  'get',
  'has',
  'set',
  'add',
  'increment',
  'touch',
  'delete',
])

/** A clear consists of several requests. */
function isClear(call: unknown): boolean {
  return (call as { readonly op?: unknown }).op === 'clear'
}

interface OrderedCall {
  readonly operation: Operation<Register>
  readonly isRead: boolean
}

/** Orders the calls of one process for one key that were made in the same tick. Reads have no order among themselves. */
class OrderOfTicks {
  readonly #calls = new Map<string, OrderedCall[]>()

  apply(
    { process, invokedAt, call: whole }: HistoryEntry,
    key: string,
    operation: Operation<Register>,
    call: KeyCall,
  ): Operation<Register> {
    if (!operation.isCertain || !direct.has(call.op) || isClear(whole)) return operation
    const name = `${process} ${invokedAt} ${key}`
    const earlier = this.#calls.get(name) ?? []
    const after = earlier
      .filter((other) => !other.isRead || !isRead(call))
      .map((other) => other.operation)
    const ordered = { ...operation, after }
    this.#calls.set(name, [...earlier, { operation: ordered, isRead: isRead(call) }])
    return ordered
  }
}

function lossAt(order: number, at: number): Operation<Register> {
  return {
    describe: () => `the backend lost it at ${at} ms`,
    from: order,
    until: order,
    isCertain: true,
    isObservation: false,
    apply: (state) => applyCall(state, { op: 'evict' }, anyResult, { from: at, until: at }, 1),
  }
}
